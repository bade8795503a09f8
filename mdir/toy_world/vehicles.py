"""Vehicles of the toy world, each one an identity."""

from dataclasses import dataclass

import numpy as np

from mdir.toy_world.canvas import Canvas
from mdir.toy_world.places import generator
from mdir.toy_world.solids import Body, Look

PAINTS = (
    (190, 36, 40), (228, 128, 40), (236, 200, 56), (52, 128, 70), (36, 66, 150), (110, 168, 216),
    (112, 60, 132), (236, 236, 232), (150, 152, 156), (40, 42, 48), (116, 82, 58),
)  # fmt: skip
BODIES = {
    "sedan": Body(
        [(-2.2, 0.4), (-2.25, 0.95), (-1.5, 1.0), (-0.95, 1.45), (0.45, 1.45), (1.1, 0.98),
         (2.2, 0.85), (2.25, 0.4)],
        "rear paint glass paint glass paint front",
        [[(-1.25, 1.0), (-0.88, 1.37), (-0.25, 1.37), (-0.25, 1.0)],
         [(-0.17, 1.0), (-0.17, 1.37), (0.42, 1.37), (0.88, 1.0)]], 1.8, (-1.35, 1.4), 0.34),
    "hatchback": Body(
        [(-1.75, 0.4), (-1.85, 1.0), (-1.45, 1.55), (0.4, 1.55), (1.0, 1.05), (1.8, 0.92),
         (1.85, 0.4)],
        "rear glass paint glass paint front",
        [[(-1.35, 1.05), (-1.2, 1.45), (-0.4, 1.45), (-0.4, 1.05)],
         [(-0.3, 1.05), (-0.3, 1.45), (0.36, 1.45), (0.8, 1.05)]], 1.7, (-1.15, 1.15), 0.33),
    "van": Body(
        [(-2.5, 0.45), (-2.55, 2.1), (1.3, 2.1), (1.95, 1.2), (2.5, 1.05), (2.55, 0.45)],
        "rear paint glass paint front",
        [[(0.6, 1.25), (0.6, 1.9), (1.2, 1.9), (1.65, 1.25)]], 1.9, (-1.55, 1.6), 0.36),
    "pickup": Body(
        [(-2.5, 0.5), (-2.5, 1.1), (-0.75, 1.1), (-0.7, 1.7), (0.45, 1.7), (1.1, 1.15),
         (2.45, 1.05), (2.5, 0.5)],
        "rear bed glass paint glass paint front",
        [[(-0.6, 1.15), (-0.6, 1.6), (0.0, 1.6), (0.0, 1.15)],
         [(0.08, 1.15), (0.08, 1.6), (0.42, 1.6), (0.88, 1.15)]], 1.9, (-1.6, 1.6), 0.42),
    "bus": Body(
        [(-4.4, 0.45), (-4.4, 2.8), (4.2, 2.8), (4.4, 1.1), (4.4, 0.45)],
        "rear paint glass front",
        [[(x, 1.4), (x, 2.4), (x + 1.2, 2.4), (x + 1.2, 1.4)] for x in np.arange(-4.1, 3, 1.4)],
        2.4, (-2.6, 2.7), 0.5),
    "truck": Body(
        [(-3.2, 0.6), (-3.2, 2.7), (1.1, 2.7), (1.15, 2.2), (2.1, 2.2), (2.5, 1.3), (2.55, 0.5)],
        "rear box paint paint glass front",
        [[(1.35, 1.4), (1.35, 2.0), (2.0, 2.0), (2.25, 1.4)]], 2.2, (-2.1, 1.7), 0.46),
}  # fmt: skip


@dataclass(frozen=True)
class Vehicle:
    """One identity: the same seed, set and number always look the same."""

    seed: int
    kind: str
    number: int

    def look(self) -> Look:
        """What it looks like."""
        rng = generator(self.seed, self.kind, self.number, "vehicle")
        order = generator(self.seed, self.kind, "paints").permutation(len(BODIES) * len(PAINTS))
        body, paint = divmod(int(order[self.number % len(order)]), len(PAINTS))
        second = PAINTS[(paint + int(rng.integers(1, len(PAINTS)))) % len(PAINTS)]
        return Look(
            body=list(BODIES.values())[body],
            paint=PAINTS[paint],
            second=second,
            decal=rng.choice(["none", "stripe", "panel", "two-tone", "spots"]),
            roof=rng.choice(["none", "rack", "sunroof", "sign"]),
            hub=((200, 200, 204), (60, 60, 64), second)[rng.integers(3)],
        )

    def draw(self, yaw: float, pitch: float, pixels: int) -> Canvas:
        """Draw it, as :meth:`mdir.toy_world.solids.Look.draw`."""
        return self.look().draw(yaw, pitch, pixels)
