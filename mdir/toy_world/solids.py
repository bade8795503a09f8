"""Bodies of vehicles in three dimensions, drawn as seen from any side."""

from dataclasses import dataclass

import numpy as np

from mdir.toy_world.canvas import Canvas

WIDTH = 4 / 3  # of the canvas, in units of its height
GLASS, RUBBER, DARK, CHROME = (58, 74, 88), (24, 24, 26), (44, 46, 50), (206, 208, 212)
_COLOURS = {"glass": GLASS, "bed": DARK, "box": (214, 214, 208)}
# Left, right (shares of half the width), bottom and top (metres from the upper edge) of each part.
_LAMPS = {
    "square": [(-0.94, -0.62, -0.28, -0.06), (0.62, 0.94, -0.28, -0.06)],
    "slit": [(-0.96, -0.4, -0.15, -0.07), (0.4, 0.96, -0.15, -0.07)],
    "tall": [(-0.97, -0.8, -0.5, 0.0), (0.8, 0.97, -0.5, 0.0)],
    "strip": [(-0.95, 0.95, -0.16, -0.06)],
    "round": [],
    "double": [],
}
_ROUND_LAMPS = {
    "round": [(-0.74, -0.2, 0.15), (0.74, -0.2, 0.15)],
    "double": [(y, -0.18, 0.1) for y in (-0.84, -0.54, 0.54, 0.84)],
}
_GRILLES = {
    "bar": [(-0.5, 0.5, -0.25, -0.08, DARK)],
    "wide": [(-0.56, 0.56, -0.46, -0.04, CHROME), (-0.5, 0.5, -0.42, -0.08, DARK)],
    "slats": [(y, y + 0.08, -0.42, -0.04, DARK) for y in np.arange(-0.46, 0.4, 0.14)],
    "kidney": [(-0.3, -0.03, -0.42, -0.05, CHROME), (0.03, 0.3, -0.42, -0.05, CHROME),
               (-0.26, -0.07, -0.38, -0.09, DARK), (0.07, 0.26, -0.38, -0.09, DARK)],
    "mouth": [(-0.8, 0.8, -0.52, -0.34, DARK)],
    "none": [],
}  # fmt: skip
_SPOKES = {"five": 5, "many": 11, "ring": 0}


@dataclass(frozen=True)
class Body:
    """A shape. Lengths are in metres, x forwards, z up.

    ``outline`` runs from the rear bumper over the roof to the front, ``made`` says of what each
    stretch of it is (words out of rear, front, paint, glass, bed, box); ``windows`` of a side;
    ``wheels`` along x and their ``radius``.
    """

    outline: list
    made: str
    windows: list
    width: float
    wheels: tuple
    radius: float

    @property
    def boxed(self) -> bool:
        """Whether it carries a box, as trucks do."""
        return "box" in self.made


@dataclass(frozen=True)
class Look:
    """A body with paint (RGB in 0..255) and everything that is mounted on it."""

    body: Body
    paint: tuple
    second: tuple
    hub: tuple
    decal: str = "none"
    roof: str = "none"
    lamps: str = "square"
    grille: str = "bar"
    rim: str = "plain"

    def draw(self, yaw: float, pitch: float, pixels: int) -> Canvas:
        """Draw it.

        Args:
            yaw: degrees, 0 shows its right side, 90 its rear, 270 its front.
            pitch: degrees from which the camera looks down.
            pixels: height of the canvas.
        """
        solid = _Solid(self, np.radians(yaw), np.radians(pitch), Canvas(WIDTH, pixels))
        solid.draw()
        return solid.canvas


class _Solid:
    def __init__(self, look, yaw, pitch, canvas):
        self.look, self.body = look, look.body
        self.outline, self.width = self.body.outline, self.body.width
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
        stretches = list(zip(self.outline, self.outline[1:], self.body.made.split(), strict=False))
        # what is far is drawn first
        stretches.sort(key=lambda s: -(s[0][0] + s[1][0]) * np.sin(self.yaw))
        for (x0, z0), (x1, z1), made in stretches:
            normal = np.array([z0 - z1, 0, x1 - x0]) / np.hypot(x1 - x0, z1 - z0)
            if not self.sees(normal):
                continue
            corners = [(x0, -half, z0), (x1, -half, z1), (x1, half, z1), (x0, half, z0)]
            self.fill(corners, self.look.paint, normal)
            if made in _COLOURS:
                inner = 0.8 if made == "glass" else 0.88
                self.fill([(x, y * inner, z) for x, y, z in corners], _COLOURS[made], normal)
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
        self.fill(outline, self.look.paint, normal)
        left, right = self.outline[0][0], self.outline[-1][0]
        if self.body.boxed:
            self.fill([(left, y, 0.8), (1.05, y, 0.8), (1.05, y, 2.7), (left, y, 2.7)],
                      (222, 222, 216), normal)  # fmt: skip
        low = 0.55 + 0.1 * (right - left > 5)
        if self.look.decal == "stripe":
            self._band(left, right, y, low + 0.18, low + 0.34, normal)
        elif self.look.decal == "two-tone":
            self._band(left, right, y, self.outline[0][1], low + 0.1, normal)
        elif self.look.decal == "panel":
            high = 0.95 if not self.body.boxed else 2.2
            self._band(left * 0.75, left * 0.75 + 1.6, y, low + 0.05, high, normal)
        elif self.look.decal == "spots":
            for x in np.linspace(left * 0.8, right * 0.7, 5):
                self._disc((x, y, low + 0.22), 0.13, self.look.second)
        elif self.look.decal == "cladding":
            self._band(left, right, y, self.outline[0][1], low + 0.04, normal, DARK)
            for x in self.body.wheels:
                self._disc((x, y, self.body.radius * 1.12), self.body.radius * 1.28, DARK)
        for window in self.body.windows:
            self.fill([(x, y, z) for x, z in window], GLASS, normal)
        if self.look.decal == "chrome":
            belt = min(z for window in self.body.windows for _, z in window)
            self._band(left * 0.92, right * 0.9, y, belt - 0.09, belt - 0.02, normal, CHROME)

    def _band(self, left, right, y, low, high, normal, colour=None):
        self.fill([(left, y, low), (right, y, low), (right, y, high), (left, y, high)],
                  colour or self.look.second, normal)  # fmt: skip

    def _end(self, made, low, high, x, normal):
        """Windows, lamps, grille and plate of the rear or the front, which stands upright at x."""

        def box(left, right, bottom, top, colour, normal=None):
            half = self.width / 2
            corners = ((left, bottom), (right, bottom), (right, top), (left, top))
            self.fill([(x, y * half, z) for y, z in corners], colour, normal)

        edge = min(high, low + 0.55)
        if high - low > 1:  # vans, buses and trucks: a window or doors
            colour = GLASS if not self.body.boxed else (190, 190, 186)
            box(-0.8, 0.8, low + 0.85, high - 0.2, colour, normal)
        lamp = (190, 30, 30) if made == "rear" else (250, 246, 220)
        for left, right, bottom, top in _LAMPS[self.look.lamps]:
            box(left, right, edge + bottom, edge + top, lamp)
        for y, z, radius in _ROUND_LAMPS.get(self.look.lamps, ()):
            self._disc((x, y * self.width / 2, edge + z), radius * 1.25, CHROME, across=True)
            self._disc((x, y * self.width / 2, edge + z), radius, lamp, across=True)
        if made == "front":
            for left, right, bottom, top, colour in _GRILLES[self.look.grille]:
                box(left, right, edge + bottom, edge + top, colour)
        box(-0.28, 0.28, low + 0.05, low + 0.2, (232, 232, 224))

    def _roof(self, left, right, z, normal):
        half, middle = self.width / 2, (left + right) / 2
        if self.look.roof == "sunroof":
            corners = [(-0.4, -0.6), (0.4, -0.6), (0.4, 0.6), (-0.4, 0.6)]
            self.fill([(middle + x, y * half, z) for x, y in corners], GLASS)
        elif self.look.roof == "rack":
            for y in (-0.75, 0.75):
                self.fill([(left + 0.1, y * half, z), (right - 0.1, y * half, z),
                           (right - 0.1, y * half, z + 0.12), (left + 0.1, y * half, z + 0.12)],
                          DARK)  # fmt: skip
        elif self.look.roof == "painted":
            self.fill([(left, -half, z), (right, -half, z), (right, half, z), (left, half, z)],
                      self.look.second, normal)  # fmt: skip
        elif self.look.roof == "sign":
            across = abs(np.sin(self.yaw)) > 0.7
            ends = (
                [(middle, -0.35), (middle, 0.35)]
                if across
                else [(middle - 0.3, 0), (middle + 0.3, 0)]
            )
            self.fill([(*ends[0], z), (*ends[1], z), (*ends[1], z + 0.24), (*ends[0], z + 0.24)],
                      self.look.second)  # fmt: skip

    def _wheels(self, far):
        near = -1 if np.cos(self.yaw) > 0 else 1
        y = (-near if far else near) * self.width / 2 * (0.9 if far else 1.0)
        for x in self.body.wheels:
            centre = (x, y, self.body.radius)
            self._disc(centre, self.body.radius, RUBBER)
            if not far:
                self._rim(centre, self.body.radius)

    def _rim(self, centre, radius):
        if self.look.rim == "plain":
            self._disc(centre, radius * 0.58, self.look.hub)
            return
        if self.look.rim == "white":
            self._disc(centre, radius * 0.8, (236, 236, 230))
            self._disc(centre, radius * 0.6, self.look.hub)
            return
        spokes = _SPOKES[self.look.rim]
        self._disc(centre, radius * 0.74, self.look.hub)
        self._disc(centre, radius * (0.66 if spokes else 0.6), DARK)
        half = radius * (0.13 if spokes < 7 else 0.07)
        for angle in np.arange(spokes) * 2 * np.pi / max(spokes, 1):
            cos, sin = np.cos(angle), np.sin(angle)
            corners = [(0, half), (0, -half), (radius * 0.7, -half), (radius * 0.7, half)]
            self.fill(
                centre + np.array([(u * cos - v * sin, 0, u * sin + v * cos) for u, v in corners]),
                self.look.hub,
            )
        self._disc(centre, radius * 0.16, self.look.hub)

    def _disc(self, centre, radius, colour, across=False):
        """A disc that stands along the vehicle, or across it."""
        x, y, z = centre
        angles = np.radians(np.linspace(0, 360, 28))
        points = [(radius * np.cos(a), radius * np.sin(a)) for a in angles]
        self.fill([(x, y + u, z + v) if across else (x + u, y, z + v) for u, v in points], colour)
