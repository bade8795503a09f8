"""Bird species of the toy world, drawn from the side."""

from dataclasses import dataclass

import cv2
import numpy as np

from mdir.toy_world.canvas import Canvas, arc
from mdir.toy_world.places import generator

WIDTH = 4 / 3  # of the canvas, in units of its height
# Body's length and thickness, slope of its axis (degrees), radius of the head, neck, tail's length
# and width, legs' length, beak's length and thickness, shape of beak, shape of tail.
_SHAPES = {
    "songbird": (0.36, 0.2, 28, 0.095, 0.02, 0.26, 0.08, 0.1, 0.075, 0.028, "straight", "square"),
    "finch": (0.32, 0.23, 35, 0.115, 0.0, 0.2, 0.08, 0.07, 0.08, 0.07, "cone", "forked"),
    "wader": (0.32, 0.17, 15, 0.065, 0.16, 0.1, 0.07, 0.3, 0.22, 0.024, "straight", "square"),
    "ibis": (0.34, 0.19, 18, 0.07, 0.14, 0.12, 0.08, 0.24, 0.24, 0.034, "curved", "square"),
    "duck": (0.44, 0.22, 6, 0.095, 0.08, 0.1, 0.1, 0.04, 0.13, 0.05, "flat", "pointed"),
    "parrot": (0.36, 0.2, 58, 0.115, 0.0, 0.36, 0.09, 0.04, 0.08, 0.09, "hooked", "pointed"),
    "woodpecker": (0.34, 0.17, 62, 0.09, 0.03, 0.2, 0.06, 0.04, 0.13, 0.035, "straight", "pointed"),
    "raptor": (0.38, 0.23, 52, 0.1, 0.0, 0.22, 0.13, 0.08, 0.075, 0.065, "hooked", "square"),
    "swallow": (0.34, 0.15, 20, 0.085, 0.0, 0.36, 0.12, 0.03, 0.045, 0.03, "cone", "forked"),
    "pheasant": (0.36, 0.21, 14, 0.075, 0.1, 0.42, 0.08, 0.13, 0.06, 0.035, "cone", "pointed"),
}
_CRESTS = ("none", "peak", "fan", "tuft")
_HEADS = ("plain", "cap", "mask", "bib", "hood", "collar")
_BREASTS = ("plain", "spots", "band", "bars", "belly")
_WINGS = ("plain", "bars", "patch", "streaks")
_PLUMAGE = (
    (196, 52, 44), (222, 132, 52), (232, 200, 70), (96, 132, 66), (50, 92, 160), (112, 168, 200),
    (132, 98, 70), (176, 150, 116), (226, 222, 212), (140, 142, 146), (48, 48, 54), (122, 74, 120),
)  # fmt: skip
_BARE = ((238, 172, 50), (60, 56, 54), (214, 84, 60), (150, 140, 120))  # beaks and legs


@dataclass(frozen=True)
class Species:
    """One class: the same seed and number always have the same silhouette, marks and colours."""

    seed: int
    number: int

    @property
    def kind(self) -> str:
        """What birds of its silhouette are called; kinds take turns from species to species."""
        kinds = generator(self.seed, "birds").permutation(list(_SHAPES))
        return str(kinds[self.number % len(kinds)])

    def draw(self, rng, pixels: int) -> Canvas:
        """One bird: how it holds itself and is turned, and how faded its colours are, differ."""
        return _Bird(self, rng, Canvas(WIDTH, pixels)).draw()


class _Bird:
    def __init__(self, species, rng, canvas):
        self.canvas = canvas
        own = generator(species.seed, species.number, "species")
        *sizes, self.beak, self.tail = _SHAPES[species.kind]
        sizes = np.array(sizes) * own.uniform(0.88, 1.12, len(sizes))
        (self.long, self.thick, slope, self.head, self.neck, self.tail_long, self.tail_wide,
         self.legs, self.beak_long, self.beak_thick) = sizes  # fmt: skip
        marks = generator(species.seed, "marks", species.kind).permutation(
            len(_CRESTS) * len(_HEADS) * len(_BREASTS)
        )
        turn = species.number // len(_SHAPES)
        mark, self.breast = divmod(int(marks[turn % len(marks)]), len(_BREASTS))
        crest, head = divmod(mark, len(_HEADS))
        self.crest, self.marked, self.breast = _CRESTS[crest], _HEADS[head], _BREASTS[self.breast]
        self.wing = own.choice(_WINGS)
        colours = np.array(_PLUMAGE)[own.permutation(len(_PLUMAGE))[:4]]
        faded = rng.uniform(0.55, 0.8) if rng.random() < 0.4 else rng.uniform(0, 0.3)  # hens, cocks
        grey, light = np.array([146, 132, 116]), rng.uniform(0.8, 1.12)
        self.back, self.below, self.mark, self.flight = (
            colours + faded * (grey - colours) + rng.uniform(-10, 10, 3)
        ) * light
        self.bare = _BARE[own.integers(len(_BARE))]
        self.slope = np.radians(slope + rng.uniform(-9, 9))
        self.squeeze = rng.uniform(0.74, 1.0)  # turned towards the camera or away from it
        self.nod, self.swing = np.radians(rng.uniform(-22, 18)), np.radians(rng.uniform(-12, 12))

    def draw(self) -> Canvas:
        along = np.array([np.cos(self.slope), np.sin(self.slope)])
        self.along, self.up = along, np.array([-along[1], along[0]])
        shoulder = along * self.long * 0.34
        lift = np.array([np.cos(self.slope / 2 + 0.7), np.sin(self.slope / 2 + 0.7)])
        self.skull = shoulder + lift * (self.thick * 0.32 + self.neck + self.head * 0.5)
        self._fit()
        self._tail()
        self._legs()
        self._body(shoulder)
        self._wing()
        self._head()
        return self.canvas

    def _fit(self):
        """Scale that keeps everything on the canvas, whatever its shape."""
        reach = self.long / 2 + self.tail_long
        low = min(-self.thick / 2 - self.legs, -reach * np.sin(self.slope) - 0.03)
        high = self.skull[1] + self.head * 2
        left = -reach * np.cos(self.slope) - 0.05
        right = self.skull[0] + self.head + self.beak_long
        self.scale = min(0.9 / (high - low), 0.9 * WIDTH / (right - left))
        self.middle = np.array([(left + right) / 2, (low + high) / 2])

    def fill(self, points, colour):
        points = (np.asarray(points, float) - self.middle) * self.scale * (self.squeeze, 1)
        self.canvas.polygon(points + np.array([WIDTH / 2, 0.5]), colour)

    def _on(self, along, up):
        """A point of the body: shares of half its length and of half its thickness."""
        return self.along * along * self.long / 2 + self.up * up * self.thick / 2

    def _at(self, points):
        return [self._on(*point) for point in points]

    def _ellipse(self, along, up, length, thickness):
        """An ellipse in line with the body, in the body's shares."""
        x, y = arc(0, 0, length, thickness).T
        return [self._on(along + u, up + v) for u, v in zip(x, y, strict=True)]

    def _body(self, shoulder):
        body = self._ellipse(0, 0, 1, 1)
        rump = self._on(-1.12, 0.12)
        nape = disc(self.skull, self.head * 0.86)
        self.fill(hull([*body, rump]), self.back)
        if self.neck > 0.05:
            self.fill(hull([*disc(shoulder, self.head * 1.15), *nape]), self.back)
        else:
            self.fill(hull([*self._ellipse(0.25, 0.05, 0.7, 0.85), *nape]), self.back)
        self.fill(self._ellipse(0.12, -0.36, 0.8, 0.6), self.below)
        if self.breast == "spots":
            for u, v in ((0.5, -0.3), (0.2, -0.5), (-0.1, -0.65), (0.62, 0.0), (0.35, -0.75)):
                self.fill(self._ellipse(u, v, 0.07, 0.1), self.mark)
        elif self.breast == "band":
            self.fill(self._at([(0.42, -0.9), (0.62, -0.78), (0.96, 0.2), (0.74, 0.2)]), self.mark)
        elif self.breast == "bars":
            for u in np.linspace(-0.45, 0.65, 5):
                low = -np.sqrt(1 - u * u) * 0.94
                bar = self._at([(u, low), (u + 0.1, low), (u + 0.12, -0.2), (u + 0.02, -0.2)])
                self.fill(bar, self.mark)
        elif self.breast == "belly":
            self.fill(self._ellipse(-0.2, -0.52, 0.55, 0.42), self.mark)

    def _wing(self):
        outline = [
            (0.55, 0.35),
            (0.35, -0.25),
            (-0.2, -0.42),
            (-0.8, -0.2),
            (-1.3, 0.15),
            (-0.75, 0.62),
            (0.1, 0.72),
        ]
        self.fill(self._at(outline), self.flight)
        tip = self._at([(-0.5, -0.32), (-0.8, -0.2), (-1.3, 0.15), (-0.6, 0.1)])
        self.fill(tip, self.flight * 0.72)
        light = np.minimum(self.below * 1.1 + 12, 250)
        if self.wing == "bars":
            for u in (-0.05, 0.22):
                bar = self._at([(u, -0.32), (u + 0.1, -0.32), (u + 0.02, 0.6), (u - 0.08, 0.6)])
                self.fill(bar, light)
        elif self.wing == "patch":
            self.fill(self._ellipse(0.1, 0.15, 0.24, 0.3), self.mark)
        elif self.wing == "streaks":
            for v in (-0.15, 0.1, 0.35):
                streak = [(0.3, v), (-0.9, v + 0.05), (-0.9, v + 0.14), (0.3, v + 0.1)]
                self.fill(self._at(streak), light)

    def _tail(self):
        turn = self.slope + self.swing
        back = -np.array([np.cos(turn), np.sin(turn)])
        side = np.array([-back[1], back[0]])
        root = self._on(-0.85, 0.1)
        share = 0.65 if self.tail == "forked" else 1.0
        tip = root + back * (self.tail_long * share + self.long * 0.1)
        wide = self.tail_wide / 2
        spread, notch = {  # of the corners, and how far they lie before the tip
            "square": (side * wide, back * 0),
            "pointed": (side * wide * 0.8, -back * 0.1),
            "forked": (side * wide * 1.3, back * self.tail_long * 0.35),
        }[self.tail]
        ends = [tip + spread + notch, tip, tip - spread + notch]
        self.fill([root + side * wide * 0.7, *ends, root - side * wide * 0.7], self.flight * 0.85)

    def _legs(self):
        for u in (-0.02, 0.16):
            top = self._on(u, -0.7)
            foot = np.array([top[0] + 0.02, -self.thick / 2 - self.legs])
            self.fill(stroke(top, foot, 0.018), self.bare)
            toes = np.array([(-0.02, 0), (0.05, 0)]) + foot
            self.fill(stroke(*toes, 0.016), self.bare)

    def _head(self):
        r, (x, y) = self.head, self.skull
        colour = self.mark if self.marked == "hood" else self.back

        def at(points):
            cos, sin = np.cos(self.nod), np.sin(self.nod)
            return [(x + r * (u * cos - v * sin), y + r * (u * sin + v * cos)) for u, v in points]

        if self.crest == "peak":
            self.fill(at([(0.5, 0.8), (-0.7, 2.0), (-0.95, 0.3)]), colour)
        elif self.crest == "fan":
            for lean in (-1.1, -0.55, 0.0):
                feather = [(0.4, 0.6), (lean, 1.9), (lean - 0.35, 1.75), (-0.5, 0.5)]
                self.fill(at(feather), self.mark)
        elif self.crest == "tuft":
            self.fill(at([(-0.5, 0.75), (-2.0, 1.25), (-0.95, 0.2)]), colour)
        base, long, thick = 0.8, self.beak_long / r, self.beak_thick / r
        beaks = {
            "straight": [(base, thick), (base + long, 0), (base, -thick)],
            "cone": [(base - 0.05, thick), (base + long, -0.1), (base - 0.05, -thick)],
            "curved": [(base, thick), (base + long * 0.55, thick * 0.5), (base + long, -long * 0.4),
                       (base + long * 0.5, -thick), (base, -thick)],
            "flat": [(base, thick), (base + long * 0.5, -0.05), (base + long, 0.02),
                     (base + long, -thick), (base, -thick)],
            "hooked": [(base - 0.1, thick), (base + long * 0.7, thick * 0.5),
                       (base + long, -thick * 1.1), (base + long * 0.4, -thick * 0.5),
                       (base - 0.1, -thick)],
        }  # fmt: skip
        self.fill(at(beaks[self.beak]), self.bare)
        self.fill(disc((x, y), r), colour)
        if self.marked == "cap":
            self.fill(at(arc(0, 0, 1, 1, 15, 185)), self.mark)
        elif self.marked == "mask":
            self.fill(at([(1.0, 0.35), (-0.95, 0.3), (-0.95, -0.15), (1.0, -0.1)]), self.mark)
        elif self.marked == "bib":
            self.fill(at(arc(0.1, -0.1, 0.9, 0.95, 200, 345)), self.mark)
        elif self.marked == "collar":
            self.fill(at([(-1.0, -0.5), (0.6, -1.15), (0.75, -0.75), (-0.95, -0.1)]), self.mark)
        eye = at([(0.32, 0.2)])[0]
        self.fill(disc(eye, r * 0.26), (236, 230, 214))
        self.fill(disc(eye, r * 0.17), (20, 20, 22))


def disc(centre, radius):
    """Points on a circle [N, 2]."""
    return arc(*centre, radius, radius)


def hull(points):
    """The convex outline of points [N, 2]."""
    return cv2.convexHull(np.float32(points))[:, 0]


def stroke(start, end, thickness):
    """The four corners of a straight line."""
    start, end = np.asarray(start), np.asarray(end)
    along = (end - start) / max(np.hypot(*(end - start)), 1e-9)
    side = np.array([-along[1], along[0]]) * thickness / 2
    return [start + side, end + side, end - side, start - side]
