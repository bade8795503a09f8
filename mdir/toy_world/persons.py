"""Pedestrians of the toy world: what they look like, and how they are drawn."""

from dataclasses import dataclass

import numpy as np

from mdir.toy_world.canvas import Canvas
from mdir.toy_world.places import generator

WIDTH = 0.5  # of the canvas, in units of its height
FACINGS = ("front", "back", "left", "right")
CLOTHES = (
    (186, 34, 40), (232, 122, 36), (240, 204, 60), (58, 140, 66), (30, 92, 96), (40, 70, 170),
    (116, 176, 226), (112, 62, 140), (230, 140, 178), (238, 236, 230), (128, 128, 132),
    (36, 36, 42), (120, 82, 52), (206, 184, 142),
)  # fmt: skip
SKINS = ((244, 208, 182), (222, 176, 140), (176, 124, 88), (112, 74, 52))
HAIRS = (
    (32, 26, 24),
    (84, 54, 34),
    (150, 104, 54),
    (216, 184, 110),
    (150, 150, 150),
    (140, 58, 30),
)
PATTERNS = ("plain", "hoops", "stripes", "block", "emblem", "jacket")


@dataclass(frozen=True)
class Person:
    """One identity: the same seed, set and number always look the same.

    No two numbers below ``len(CLOTHES) ** 2`` share the colours of both top and legs.
    """

    seed: int
    kind: str
    number: int

    def draw(self, facing: str, stride: float, pixels: int) -> Canvas:
        """Draw the person from one side.

        Args:
            facing: one of ``FACINGS``, as the camera sees it.
            stride: from -1 to 1, which leg is in front and how far.
            pixels: height of the canvas.
        """
        figure = _Figure(self, facing, stride, Canvas(WIDTH, pixels))
        figure.draw()
        return figure.canvas


class _Figure:
    """A person on a canvas. ``at(x, y)`` is in body heights, x from its axis, y from the ground."""

    def __init__(self, person, facing, stride, canvas):
        rng = generator(person.seed, person.kind, person.number, "person")
        pair = generator(person.seed, person.kind, "clothes").permutation(len(CLOTHES) ** 2)
        top, legs = divmod(int(pair[person.number % len(pair)]), len(CLOTHES))
        self.top, self.legs = CLOTHES[top], CLOTHES[legs]
        self.second = CLOTHES[(top + int(rng.integers(1, len(CLOTHES)))) % len(CLOTHES)]
        self.skin, self.hair = SKINS[rng.integers(len(SKINS))], HAIRS[rng.integers(len(HAIRS))]
        self.pattern = PATTERNS[rng.integers(len(PATTERNS))]
        self.wear = rng.choice(["trousers", "trousers", "shorts", "skirt"])
        self.sleeves, self.coat = rng.random() < 0.55, rng.random() < 0.25
        self.head = rng.choice(["short", "short", "long", "bald", "cap"])
        self.shoes = ((30, 30, 34), (226, 226, 222), (150, 40, 40), (120, 82, 52))[rng.integers(4)]
        self.bag = rng.choice(["none", "backpack", "backpack", "strap", "tote"])
        self.leather = CLOTHES[rng.integers(len(CLOTHES))]
        self.tall, self.broad = rng.uniform(0.86, 0.95), rng.uniform(1.05, 1.4)
        self.facing, self.stride, self.canvas = facing, stride, canvas
        self.side = facing in ("left", "right")
        self.sign = -1 if facing in ("left", "back") else 1

    def at(self, x, y):
        return WIDTH / 2 + x * self.sign * self.tall, 0.03 + y * self.tall

    def fill(self, points, colour, shade=1.0):
        self.canvas.polygon([self.at(*point) for point in points], np.multiply(colour, shade))

    def box(self, across, up, colour, shade=1.0):
        (left, right), (low, high) = across, up
        self.fill([(left, low), (right, low), (right, high), (left, high)], colour, shade)

    def disc(self, x, y, radius, colour, squeeze=1.0):
        self.canvas.disc(*self.at(x, y), radius * self.tall, colour, squeeze)

    def draw(self):
        if self.facing == "back":
            self._bag_front()
        elif self.side and self.bag == "backpack":
            self._pack([(-0.17, 0.78), (-0.06, 0.8), (-0.06, 0.54), (-0.16, 0.55)])
        self._limb(far=True)
        self._legs()
        self._torso()
        self._limb(far=False)
        self._head()
        if self.facing == "back" and self.bag == "backpack":
            self._pack([(-0.09, 0.79), (0.09, 0.79), (0.1, 0.53), (-0.1, 0.53)])
        elif self.facing != "back":
            self._bag_front()

    @property
    def half(self):
        """Half the width of the shoulders."""
        return (0.075 if self.side else 0.125) * self.broad

    def _legs(self):
        step = self.stride * (0.13 if self.side else 0.025)
        hip = self.half * (0.75 if self.side else 0.8)
        for at, foot, shade in ((-1, -step, 0.82), (1, step, 1.0)):
            top = (0.0, hip) if self.side else tuple(sorted((at * 0.008, at * hip)))
            middle = foot if self.side else at * hip * 0.55 + foot
            left = -hip if self.side else top[0]
            wide = 0.042 * self.broad
            ends = [(middle - wide, 0.03), (middle + wide, 0.03)]
            bare = self.wear != "trousers"
            self.fill([(left, 0.5), (top[1], 0.5), *ends[::-1]], self.skin if bare else self.legs,
                      shade)  # fmt: skip
            if self.wear == "shorts":
                knee = (ends[0][0] + left) / 2, (ends[1][0] + top[1]) / 2
                self.fill([(left, 0.5), (top[1], 0.5), (knee[1] + 0.012, 0.27),
                           (knee[0] - 0.012, 0.27)], self.legs, shade)  # fmt: skip
            toe = 0.05 if self.side else 0.006
            self.fill([(middle - wide, 0.035), (middle + wide, 0.035), (middle + wide + toe, 0.0),
                       (middle - wide - 0.006, 0.0)], self.shoes)  # fmt: skip
        if self.wear == "skirt":
            self.fill(
                [(-hip, 0.52), (hip, 0.52), (hip * 1.45, 0.26), (-hip * 1.45, 0.26)], self.legs
            )

    def _torso(self):
        half, low = self.half, 0.34 if self.coat else 0.47
        hem = half * (1.0 if self.coat else 0.84)
        shape = [(-half * 0.6, 0.84), (half * 0.6, 0.84), (half, 0.79), (hem, low), (-hem, low),
                 (-half, 0.79)]  # fmt: skip
        self.fill(shape, self.top)
        if self.pattern == "hoops":
            for y in np.arange(low + 0.02, 0.78, 0.075):
                self.box((-hem, hem), (y, y + 0.034), self.second)
        elif self.pattern == "stripes":
            for x in np.linspace(-0.75, 0.75, 4) * hem:
                self.box((x - 0.011, x + 0.011), (low, 0.81), self.second)
        elif self.pattern == "block":
            self.box((-hem, hem), (low, 0.63), self.second)
        elif self.pattern == "emblem" and self.facing == "front":
            self.disc(0, 0.69, 0.055, self.second)
        elif self.pattern == "jacket" and self.facing != "back":
            middle = half * 0.5 if self.side else 0.0
            self.fill([(middle - 0.035, low), (middle + 0.035, low), (middle + 0.045, 0.83),
                       (middle - 0.045, 0.83)], self.second)  # fmt: skip
        self.box((-0.028, 0.028), (0.82, 0.88), self.skin, 0.85)

    def _limb(self, far):
        swing = self.stride * (-0.1 if far else 0.1) if self.side else 0.0
        for at in (0,) if self.side else ((-1,) if far else (1,)):
            shoulder, hand = at * self.half * 0.92, at * self.half * 1.22 + swing
            wide = 0.034 * self.broad**0.5
            shade = 0.75 if far else 0.9
            split = 0.5 if self.sleeves else 0.68
            elbow = shoulder + (hand - shoulder) * (0.81 - split) / 0.37
            for start, end, x0, x1, colour in (
                (0.81, split, shoulder, elbow, self.top),
                (split, 0.44, elbow, hand, self.skin),
            ):
                self.fill([(x0 - wide, start), (x0 + wide, start), (x1 + wide * 0.85, end),
                           (x1 - wide * 0.85, end)], colour, shade)  # fmt: skip

    def _head(self):
        ahead = 0.012 if self.side else 0.0
        if self.head == "long":
            self.fill([(-0.062, 0.95), (0.06 - ahead * 3, 0.95), (0.05 - ahead * 4, 0.8),
                       (-0.066, 0.8)], self.hair)  # fmt: skip
        self.disc(ahead, 0.925, 0.053, self.skin, 1.25)
        if self.head != "bald" or self.facing == "back":
            hair = self.hair if self.head != "bald" else np.multiply(self.skin, 0.92)
            if self.facing == "back":
                self.disc(0, 0.933, 0.056, hair, 1.2)
            else:
                back = -0.03 if self.side else 0.0
                self.canvas.polygon(
                    [self.at(back + 0.057 * np.cos(a), 0.94 + 0.062 * np.sin(a))
                     for a in np.radians(np.linspace(-10 if not self.side else 15, 190, 20))],
                    hair,
                )  # fmt: skip
        if self.facing != "back":
            for x in (0.032,) if self.side else (-0.02, 0.02):
                self.disc(x, 0.925, 0.006, (30, 26, 24))
        if self.head == "cap":
            self.fill([(-0.058, 0.95), (0.058, 0.95), (0.045, 1.0), (-0.045, 1.0)], self.second)
            if self.facing != "back":
                self.box((0.0, 0.1 if self.side else 0.055), (0.95, 0.965), self.second, 0.8)
        if self.head == "long" and self.facing == "back":
            self.fill([(-0.06, 0.94), (0.06, 0.94), (0.055, 0.78), (-0.055, 0.78)], self.hair)

    def _pack(self, points):
        self.fill(points, self.leather, 0.85)
        low, high = points[-1][1], points[0][1]
        (left, _), (right, _) = points[0], points[1]
        self.box((left + 0.02, right - 0.02), (low + 0.03, (low + high) / 2), self.leather, 0.6)

    def _bag_front(self):
        if self.bag == "backpack" and self.facing == "front":
            for x in (-0.07, 0.07):
                self.box((x - 0.012, x + 0.012), (0.6, 0.83), self.leather, 0.85)
        elif self.bag == "strap":
            half = self.half
            self.fill([(-half, 0.8), (-half + 0.03, 0.82), (half + 0.01, 0.5),
                       (half - 0.015, 0.49)], self.leather)  # fmt: skip
            self.box((half - 0.03, half + 0.06), (0.52, 0.4), self.leather, 0.8)
        elif self.bag == "tote":
            hand = self.half * 1.22 if not self.side else 0.1 * self.stride
            self.fill([(hand - 0.05, 0.42), (hand + 0.05, 0.42), (hand + 0.06, 0.26),
                       (hand - 0.06, 0.26)], self.leather)  # fmt: skip
