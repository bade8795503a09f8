"""Vehicles of the toy world: bodies in three dimensions, seen from any side."""

from dataclasses import dataclass

import numpy as np

from mdir.toy_world.canvas import Canvas
from mdir.toy_world.places import generator

WIDTH = 4 / 3  # of the canvas, in units of its height
PAINTS = (
    (190, 36, 40), (228, 128, 40), (236, 200, 56), (52, 128, 70), (36, 66, 150), (110, 168, 216),
    (112, 60, 132), (236, 236, 232), (150, 152, 156), (40, 42, 48), (116, 82, 58),
)  # fmt: skip
GLASS, RUBBER, DARK = (58, 74, 88), (24, 24, 26), (44, 46, 50)
# Outline from the rear bumper over the roof to the front, metres (x forwards, z up), with what each
# stretch of it is made of; side windows; width; wheels along x; their radius.
BODIES = {
    "sedan": (
        [(-2.2, 0.4), (-2.25, 0.95), (-1.5, 1.0), (-0.95, 1.45), (0.45, 1.45), (1.1, 0.98),
         (2.2, 0.85), (2.25, 0.4)],
        "rear paint glass paint glass paint front",
        [[(-1.25, 1.0), (-0.88, 1.37), (-0.25, 1.37), (-0.25, 1.0)],
         [(-0.17, 1.0), (-0.17, 1.37), (0.42, 1.37), (0.88, 1.0)]], 1.8, (-1.35, 1.4), 0.34),
    "hatchback": (
        [(-1.75, 0.4), (-1.85, 1.0), (-1.45, 1.55), (0.4, 1.55), (1.0, 1.05), (1.8, 0.92),
         (1.85, 0.4)],
        "rear glass paint glass paint front",
        [[(-1.35, 1.05), (-1.2, 1.45), (-0.4, 1.45), (-0.4, 1.05)],
         [(-0.3, 1.05), (-0.3, 1.45), (0.36, 1.45), (0.8, 1.05)]], 1.7, (-1.15, 1.15), 0.33),
    "van": (
        [(-2.5, 0.45), (-2.55, 2.1), (1.3, 2.1), (1.95, 1.2), (2.5, 1.05), (2.55, 0.45)],
        "rear paint glass paint front",
        [[(0.6, 1.25), (0.6, 1.9), (1.2, 1.9), (1.65, 1.25)]], 1.9, (-1.55, 1.6), 0.36),
    "pickup": (
        [(-2.5, 0.5), (-2.5, 1.1), (-0.75, 1.1), (-0.7, 1.7), (0.45, 1.7), (1.1, 1.15),
         (2.45, 1.05), (2.5, 0.5)],
        "rear bed glass paint glass paint front",
        [[(-0.6, 1.15), (-0.6, 1.6), (0.0, 1.6), (0.0, 1.15)],
         [(0.08, 1.15), (0.08, 1.6), (0.42, 1.6), (0.88, 1.15)]], 1.9, (-1.6, 1.6), 0.42),
    "bus": (
        [(-4.4, 0.45), (-4.4, 2.8), (4.2, 2.8), (4.4, 1.1), (4.4, 0.45)],
        "rear paint glass front",
        [[(x, 1.4), (x, 2.4), (x + 1.2, 2.4), (x + 1.2, 1.4)] for x in np.arange(-4.1, 3, 1.4)],
        2.4, (-2.6, 2.7), 0.5),
    "truck": (
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

    def draw(self, yaw: float, pitch: float, pixels: int) -> Canvas:
        """Draw the vehicle.

        Args:
            yaw: degrees, 0 shows its right side, 90 its rear, 270 its front.
            pitch: degrees from which the camera looks down.
            pixels: height of the canvas.
        """
        solid = _Solid(self, np.radians(yaw), np.radians(pitch), Canvas(WIDTH, pixels))
        solid.draw()
        return solid.canvas


class _Solid:
    def __init__(self, vehicle, yaw, pitch, canvas):
        rng = generator(vehicle.seed, vehicle.kind, vehicle.number, "vehicle")
        order = generator(vehicle.seed, vehicle.kind, "paints").permutation(
            len(BODIES) * len(PAINTS)
        )
        body, paint = divmod(int(order[vehicle.number % len(order)]), len(PAINTS))
        self.body = list(BODIES)[body]
        self.outline, made, self.windows, self.width, self.wheels, self.radius = BODIES[self.body]
        self.made, self.paint = made.split(), PAINTS[paint]
        self.second = PAINTS[(paint + int(rng.integers(1, len(PAINTS)))) % len(PAINTS)]
        self.decal = rng.choice(["none", "stripe", "panel", "two-tone", "spots"])
        self.roof = rng.choice(["none", "rack", "sunroof", "sign"])
        self.hub = ((200, 200, 204), (60, 60, 64), self.second)[rng.integers(3)]
        self.canvas, self.yaw, self.pitch = canvas, yaw, pitch
        self.to_camera = np.array([-np.sin(yaw) * np.cos(pitch), -np.cos(yaw) * np.cos(pitch),
                                   np.sin(pitch)])  # fmt: skip
        corners = [(x, y, z) for x, z in [*self.outline, (self.outline[0][0], 0)]
                   for y in (-self.width / 2, self.width / 2)]  # fmt: skip
        flat = np.array([self._flat(corner) for corner in corners])
        low, high = flat.min(0), flat.max(0)
        self.scale = min(0.92 * WIDTH / (high - low)[0], 0.84 / (high - low)[1])
        self.shift = np.array([WIDTH / 2, 0.09]) - self.scale * np.array(
            [(low + high)[0] / 2, low[1]]
        )

    def _flat(self, point):
        x, y, z = point
        along = x * np.cos(self.yaw) - y * np.sin(self.yaw)
        depth = x * np.sin(self.yaw) + y * np.cos(self.yaw)
        return np.array([along, z * np.cos(self.pitch) + depth * np.sin(self.pitch)])

    def fill(self, points, colour, normal=None):
        shade = 1.0 if normal is None else 0.72 + 0.3 * float(np.dot(normal, (0.25, -0.35, 0.9)))
        flat = [self.shift + self.scale * self._flat(point) for point in points]
        self.canvas.polygon(flat, np.multiply(colour, shade))

    def sees(self, normal) -> bool:
        return float(np.dot(normal, self.to_camera)) > 1e-3

    def draw(self):
        self._wheels(far=True)
        half = self.width / 2
        stretches = list(zip(self.outline, self.outline[1:], self.made, strict=False))
        # what is far is drawn first
        stretches.sort(key=lambda s: -(s[0][0] + s[1][0]) * np.sin(self.yaw))
        for (x0, z0), (x1, z1), made in stretches:
            normal = np.array([z0 - z1, 0, x1 - x0]) / np.hypot(x1 - x0, z1 - z0)
            if not self.sees(normal):
                continue
            corners = [(x0, -half, z0), (x1, -half, z1), (x1, half, z1), (x0, half, z0)]
            colours = {"glass": GLASS, "bed": DARK, "box": (214, 214, 208)}
            self.fill(corners, self.paint, normal)
            if made in colours:
                inner = 0.8 if made == "glass" else 0.88
                self.fill([(x, y * inner, z) for x, y, z in corners], colours[made], normal)
            elif made in ("rear", "front"):
                self._end(made, min(z0, z1), max(z0, z1), x0 if z0 < z1 else x1, normal)
            elif z0 == max(z for _, z in self.outline) == z1:
                self._roof(x0, x1, z0, normal)
        for side in (-1, 1):
            normal = np.array([0, side, 0])
            if self.sees(normal):
                self._side(side * half, normal)
        self._wheels(far=False)

    def _side(self, y, normal):
        outline = [(x, y, z) for x, z in self.outline]
        self.fill(outline, self.paint, normal)
        left, right = self.outline[0][0], self.outline[-1][0]
        if self.body == "truck":
            self.fill([(left, y, 0.8), (1.05, y, 0.8), (1.05, y, 2.7), (left, y, 2.7)],
                      (222, 222, 216), normal)  # fmt: skip
        low = 0.55 + 0.1 * (right - left > 5)
        if self.decal == "stripe":
            self._band(left, right, y, low + 0.18, low + 0.34, normal)
        elif self.decal == "two-tone":
            self._band(left, right, y, self.outline[0][1], low + 0.1, normal)
        elif self.decal == "panel":
            high = 0.95 if self.body != "truck" else 2.2
            self._band(left * 0.75, left * 0.75 + 1.6, y, low + 0.05, high, normal)
        elif self.decal == "spots":
            for x in np.linspace(left * 0.8, right * 0.7, 5):
                self._disc(x, y, low + 0.22, 0.13, self.second)
        for window in self.windows:
            self.fill([(x, y, z) for x, z in window], GLASS, normal)

    def _band(self, left, right, y, low, high, normal):
        self.fill([(left, y, low), (right, y, low), (right, y, high), (left, y, high)],
                  self.second, normal)  # fmt: skip

    def _end(self, made, low, high, x, normal):
        """Windows, lamps, grille and plate of the rear or the front, which stands upright at x."""

        def box(left, right, bottom, top, colour, normal=None):
            half = self.width / 2
            corners = ((left, bottom), (right, bottom), (right, top), (left, top))
            self.fill([(x, y * half, z) for y, z in corners], colour, normal)

        edge = min(high, low + 0.55)
        if high - low > 1:  # vans, buses and trucks: a window or doors
            colour = GLASS if self.body != "truck" else (190, 190, 186)
            box(-0.8, 0.8, low + 0.85, high - 0.2, colour, normal)
        for left in (-0.94, 0.62):
            lamp = (190, 30, 30) if made == "rear" else (250, 246, 220)
            box(left, left + 0.32, edge - 0.28, edge - 0.06, lamp)
        if made == "front":
            box(-0.5, 0.5, edge - 0.25, edge - 0.08, DARK)
        box(-0.28, 0.28, low + 0.05, low + 0.2, (232, 232, 224))

    def _roof(self, left, right, z, normal):
        half, middle = self.width / 2, (left + right) / 2
        if self.roof == "sunroof":
            corners = [(-0.4, -0.6), (0.4, -0.6), (0.4, 0.6), (-0.4, 0.6)]
            self.fill([(middle + x, y * half, z) for x, y in corners], GLASS)
        elif self.roof == "rack":
            for y in (-0.75, 0.75):
                self.fill([(left + 0.1, y * half, z), (right - 0.1, y * half, z),
                           (right - 0.1, y * half, z + 0.12), (left + 0.1, y * half, z + 0.12)],
                          DARK)  # fmt: skip
        elif self.roof == "sign":
            across = abs(np.sin(self.yaw)) > 0.7
            ends = (
                [(middle, -0.35), (middle, 0.35)]
                if across
                else [(middle - 0.3, 0), (middle + 0.3, 0)]
            )
            self.fill([(*ends[0], z), (*ends[1], z), (*ends[1], z + 0.24), (*ends[0], z + 0.24)],
                      self.second)  # fmt: skip

    def _wheels(self, far):
        near = -1 if np.cos(self.yaw) > 0 else 1
        y = (-near if far else near) * self.width / 2 * (0.9 if far else 1.0)
        for x in self.wheels:
            self._disc(x, y, self.radius, self.radius, RUBBER)
            if not far:
                self._disc(x, y, self.radius, self.radius * 0.58, self.hub)

    def _disc(self, x, y, z, radius, colour):
        angles = np.radians(np.linspace(0, 360, 28))
        self.fill([(x + radius * np.cos(a), y, z + radius * np.sin(a)) for a in angles], colour)
