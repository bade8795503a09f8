"""Car models of the toy world: cars of a model share everything but their paint."""

from dataclasses import dataclass

import numpy as np

from mdir.toy_world.places import generator
from mdir.toy_world.solids import Body, Look
from mdir.toy_world.vehicles import PAINTS

# Heights of bonnet's tip, belt and roof; along x the rear end, the boot's edge (None: no boot), the
# rear pillar's foot and head, the windscreen's head and foot, the front end (metres); side windows.
_SHAPES = {
    "sedan": (0.8, 0.98, 1.42, -2.25, -1.55, -1.5, -0.9, 0.35, 1.1, 2.3, 3),
    "hatchback": (0.86, 1.02, 1.5, -1.85, None, -1.8, -1.4, 0.3, 1.0, 1.85, 2),
    "coupe": (0.74, 0.92, 1.24, -2.2, -2.05, -2.0, -0.6, 0.0, 0.85, 2.3, 1),
    "wagon": (0.82, 1.0, 1.46, -2.35, None, -2.3, -2.0, 0.35, 1.1, 2.3, 3),
    "off-roader": (1.12, 1.2, 1.92, -2.0, None, -2.0, -1.95, 0.5, 0.8, 2.0, 2),
    "minivan": (0.95, 1.12, 1.78, -2.2, None, -2.2, -1.95, 0.6, 1.7, 2.3, 3),
    "pickup": (1.05, 1.12, 1.72, -2.5, -0.7, -0.7, -0.6, 0.45, 1.05, 2.45, 2),
    "roadster": (0.72, 0.88, 1.2, -1.95, -0.85, 0, 0, 0, 0, 2.0, 1),
}
_LAMPS = ("square", "round", "double", "slit", "tall", "strip")
_GRILLES = ("bar", "wide", "slats", "kidney", "mouth", "none")
_RIMS = ("plain", "white", "five", "many", "ring")
_TRIMS = ("none", "chrome", "cladding")
_ROOFS = {
    "wagon": ("rack", "none"),
    "off-roader": ("rack", "painted", "none"),
    "hatchback": ("painted", "sunroof", "none"),
    "minivan": ("rack", "sunroof", "none"),
}
_VIEWS = (315, 315, 45, 0)  # degrees of yaw: most cars are photographed from the front


@dataclass(frozen=True)
class CarModel:
    """One class: the same seed and number always have the same shape, lamps, grille and wheels."""

    seed: int
    number: int

    def draw(self, rng, pixels: int):
        """One car of the model, in a paint and from a side of its own."""
        yaw = rng.choice(_VIEWS) + rng.uniform(-20, 20)
        return self.look(PAINTS[rng.integers(len(PAINTS))]).draw(yaw, rng.uniform(4, 16), pixels)

    @property
    def kind(self) -> str:
        """What cars of its body are called; kinds take turns from model to model."""
        kinds = generator(self.seed, "cars").permutation(list(_SHAPES))
        return str(kinds[self.number % len(kinds)])

    def look(self, paint) -> Look:
        """A car of the model, painted; no two models of a kind have the same lamps and grille."""
        fronts = generator(self.seed, "fronts", self.kind).permutation(len(_LAMPS) * len(_GRILLES))
        front = int(fronts[self.number // len(_SHAPES) % len(fronts)])
        lamps, grille = divmod(front, len(_GRILLES))
        rng = generator(self.seed, self.number, "car model")
        return Look(
            body=_body(self.kind, rng),
            paint=paint,
            second=(232, 232, 228) if rng.random() < 0.5 else (34, 36, 40),
            hub=(196, 198, 202),
            decal=rng.choice(_TRIMS),
            roof=rng.choice(_ROOFS.get(self.kind, ("none",))),
            lamps=_LAMPS[lamps],
            grille=_GRILLES[grille],
            rim=_RIMS[rng.integers(len(_RIMS))],
        )


def _body(name, rng) -> Body:
    tip, belt, roof, rear, boot, *pillars, front, panes = _SHAPES[name]
    longer, higher = rng.uniform(0.9, 1.1), rng.uniform(0.95, 1.06)
    radius = {"off-roader": 0.44, "pickup": 0.42}.get(name, 0.34) * rng.uniform(0.94, 1.1)
    lean = rng.uniform(-0.15, 0.15)
    sill = 0.4 if radius < 0.4 else 0.52
    low, high = [(rear + 0.05, sill), (rear, belt * 0.96)], [(front - 0.04, tip), (front, sill)]
    if name == "roadster":
        seats, glass = [(boot, belt), (0.25, belt)], [(0.42 + lean / 2, roof), (0.95, belt)]
        upper, made = [*seats, *glass], "rear paint bed glass glass paint front"
        windows = [[(0.32, belt + 0.02), (0.45 + lean / 2, roof - 0.06), (0.82, belt + 0.02)]]
    else:
        foot, head, screen, cowl = np.add(pillars, [0, lean / 2, lean, lean])
        upper = [(foot, belt), (head, roof), (screen, roof), (cowl, belt)]
        tail = "bed" if name == "pickup" else "paint"
        made = f"rear {tail} glass paint glass paint front"
        windows = _panes(*upper, panes)
        if boot is None:
            low, upper = low[:1], [(rear, belt), *upper[1:]]
            made = "rear glass paint glass paint front"
        elif name == "coupe":
            low[1] = (rear, belt)
    scale = np.array([longer, higher])
    axle = rng.uniform(0.6, 0.68)
    return Body(
        outline=[tuple(np.multiply(point, scale)) for point in [*low, *upper, *high]],
        made=made,
        windows=[[tuple(np.multiply(point, scale)) for point in pane] for pane in windows],
        width=1.8 * rng.uniform(0.95, 1.08),
        wheels=(rear * longer * axle, front * longer * (axle + 0.03)),
        radius=radius,
    )


def _panes(foot, head, screen, cowl, count):
    """Side windows between the pillars: polygons of points (x, z)."""
    low, high = foot[1] + 0.05, head[1] - 0.08

    def at(pillar, top, z):
        return pillar[0] + (z - pillar[1]) / (top[1] - pillar[1]) * (top[0] - pillar[0])

    panes = []
    for number in range(count):
        edges = []
        for z in (low, high):
            left, right = at(foot, head, z) + 0.1, at(cowl, screen, z) - 0.08
            span = right - left
            edges.append((left + span * number / count, left + span * (number + 1) / count - 0.07))
        (x0, x1), (u0, u1) = edges
        panes.append([(x0, low), (u0, high), (u1, high), (x1, low)])
    return panes
