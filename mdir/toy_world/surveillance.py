"""Cameras of the toy world's streets: where they hang, and how they see who comes along."""

from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from mdir.toy_world.canvas import Canvas
from mdir.toy_world.outdoors import outdoors
from mdir.toy_world.places import generator

_STRIP = 3.0  # width of the drawn scene, in widths of a picture
_LIGHT = ((0.78, 1.08), (-0.1, 0.1), (-0.3, 0.3))  # exposure, warmth, slope
_MILD_LIGHT = ((0.87, 1.07), (-0.065, 0.065), (-0.2, 0.2))
_GREY, _HAZE = np.float32(142), np.float32(0.35)  # of a mild scene: how near to that grey


@dataclass(frozen=True)
class Camera:
    """A camera of a set: its background and its light are the same in all of its pictures.

    ``look`` is ``street`` (textured scenes, sun from one side, blur and noise), ``nature`` (the
    same light before leaves, sky, water or meadow) or ``render`` (plain scenes, even light, strong
    colours and outlines, as of a game).

    Cameras that are ``mild`` differ less in their light, and their scenes have less contrast.
    """

    seed: int
    kind: str
    number: int
    look: str
    mild: bool = field(default=False, repr=False)  # what is drawn at random depends on the repr

    def take(self, subject: Canvas, size: tuple[int, int], shot, hour: float = 1.0) -> np.ndarray:
        """A picture of who was drawn on a canvas.

        Args:
            size: (width, height) in pixels; the canvas is larger by a whole factor or more.
            shot: key of the picture: where the subject stands, and noise, differ by it.
            hour: how bright the day is; 1 as usual.

        Returns:
            uint8 array [height, width, 3], RGB.
        """
        rng = generator(self.seed, self.kind, self.number, shot)
        along = rng.random()
        return self.expose(*placed(subject, rng), size, along, rng, hour)

    def expose(self, cover, paint, size, along: float, rng, hour: float = 1.0) -> np.ndarray:
        """A picture of what stands before the scene.

        Args:
            cover, paint: as :func:`placed` gives them.
            size: (width, height) in pixels.
            along: which part of the scene is seen, 0 to 1.
            rng: of the noise.
            hour: how bright the day is; 1 as usual.

        Returns:
            uint8 array [height, width, 3], RGB.
        """
        own = generator(self.seed, self.kind, self.number, "camera")
        large = cover.shape[::-1]
        exposure, warmth, slope = (own.uniform(*r) for r in (_MILD_LIGHT if self.mild else _LIGHT))
        blur, noise = own.uniform(0.0, 1.0), own.uniform(0.008, 0.03)
        if self.look == "render":
            exposure, warmth, slope = 0.85 + exposure / 6, warmth / 4, 0.0
        scene = _scene(self, large)
        left = int(along * (scene.shape[1] - large[0]))
        picture = scene[:, left : left + large[0]]
        if self.mild:
            picture = picture * (1 - _HAZE) + _HAZE * _GREY
        picture = picture / np.float32(255)
        if self.look == "street":
            _shadow(picture, cover, slope)
        if self.look == "render":
            paint = _strong(paint)
            edge = cv2.dilate(cover, np.ones((5, 5))) - cv2.erode(cover, np.ones((3, 3)))
            picture *= 1 - 0.8 * np.clip(edge, 0, 1)[..., None]
        else:
            paint = paint * _rounding(cover, slope)
        picture += cover[..., None] * (paint - picture)
        light = np.float32(exposure * hour * np.array([1 + warmth, 1.0, 1 - warmth]))
        across = np.linspace(1 - slope / 2, 1 + slope / 2, large[0], dtype=np.float32)[:, None]
        picture = picture * light * across
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        if self.look != "render":
            small = cv2.GaussianBlur(small, (0, 0), 0.3 + blur * size[1] / 160)
            small = small + rng.normal(0, noise, small.shape)
        return np.uint8(np.clip(small, 0, 1) * 255)


@lru_cache(maxsize=64)
def _scene(camera, size) -> np.ndarray:
    """What a camera sees without anybody, wider than a picture: uint8, RGB."""
    width, height = size
    own = generator(camera.seed, camera.kind, camera.number, "scene")
    drawn = Canvas(_STRIP * width / height, height)
    if camera.look == "nature":
        return outdoors(drawn, own)
    horizon = own.uniform(0.35, 0.6)
    wall = own.uniform(118, 172) + own.uniform(-18, 18, 3)
    floor = own.uniform(120, 165) * np.array([1, 0.98, 0.94])
    wide = drawn.colour.shape[1] / height
    drawn.box(0, horizon, wide, 1 - horizon, wall)
    drawn.box(0, 0, wide, horizon, floor)
    if camera.look == "street":
        first = int(generator(camera.seed, camera.kind, "walls").integers(len(WALLS)))
        WALLS[(camera.number + first) % len(WALLS)](drawn, own, wide, horizon, wall)
        _ground(drawn, own, wide, horizon, floor)
    return drawn.colour


def _brick(canvas, own, wide, horizon, wall):
    for row, y in enumerate(np.arange(horizon, 1, 0.045)):
        for x in np.arange(-(row % 2) * 0.06, wide, 0.12):
            tone = wall * own.uniform(0.82, 1.08)
            canvas.box(x, y, 0.112, 0.038, tone)


def _shop(canvas, own, wide, horizon, wall):
    for x in np.arange(0.05, wide, 0.55):
        pane = own.uniform(90, 190, 3)
        canvas.box(x, horizon + 0.04, 0.42, 0.34, pane * 0.75)
        canvas.box(x, horizon + 0.04, 0.16, own.uniform(0.1, 0.25), pane)
        canvas.box(x - 0.03, horizon + 0.39, 0.48, 0.05, own.uniform(90, 190, 3))


def _park(canvas, own, wide, horizon, wall):
    canvas.box(0, horizon, wide, 1 - horizon, wall * 1.12)
    canvas.box(0, 0, wide, horizon, (132, 140, 118))
    for x in np.arange(0, wide, 0.24):
        x = x + own.uniform(-0.08, 0.08)
        canvas.box(x - 0.015, horizon - 0.02, 0.03, 0.25, (84, 62, 44))
        green = np.array([108, 126, 100]) * own.uniform(0.75, 1.25)
        canvas.disc(x, horizon + 0.27, own.uniform(0.1, 0.17), green, 1.1)


def _concrete(canvas, own, wide, horizon, wall):
    for x in np.arange(0, wide, 0.35):
        canvas.box(x, horizon, 0.012, 1 - horizon, wall * 0.7)
        canvas.box(x + 0.1, horizon + 0.2, 0.15, 0.2, wall * own.uniform(0.5, 1.2))
    canvas.box(0, horizon, wide, 0.03, wall * 0.55)


def _fence(canvas, own, wide, horizon, wall):
    canvas.box(0, horizon, wide, 1 - horizon, wall * 1.15)
    for x in np.arange(0, wide, 0.05):
        canvas.box(x, horizon, 0.012, 0.3, wall * 0.5)
    for y in (horizon + 0.04, horizon + 0.26):
        canvas.box(0, y, wide, 0.016, wall * 0.5)


def _tiles(canvas, own, wide, horizon, wall):
    for y in np.arange(horizon, 1, 0.1):
        for x in np.arange(0, wide, 0.1):
            canvas.box(x, y, 0.094, 0.094, wall * own.uniform(0.92, 1.06))
    canvas.box(0, horizon + 0.2, wide, 0.05, wall * 0.6)


WALLS = (_brick, _shop, _park, _concrete, _fence, _tiles)


def _ground(canvas, own, wide, horizon, floor):
    kind = own.choice(["slabs", "line", "plain"])
    if kind == "slabs":
        for y in horizon * (1 - np.linspace(0, 1, 6) ** 0.7):
            canvas.box(0, y, wide, 0.006, floor * 0.75)
        for x in np.arange(-0.5, wide + 0.5, 0.2):
            canvas.line((x, horizon), (wide / 2 + (x - wide / 2) * 1.6, 0), floor * 0.75, 0.006)
    elif kind == "line":
        canvas.box(0, horizon * 0.82, wide, 0.03, (206, 202, 190))
        canvas.box(0, horizon * 0.25, wide, 0.03, (232, 214, 120))


def placed(subject: Canvas, rng, scale=(0.92, 1.05), turn=2.5, shift=(0.05, 0.025), flip=False):
    """The subject a little away from the middle.

    Args:
        scale: smallest and largest.
        turn: degrees to either side.
        shift: to any side, in shares of width and height.
        flip: mirror it.

    Returns:
        Its cover [height, width] and its paint [height, width, 3], both in 0..1.
    """
    height, width = subject.cover.shape
    size, angle = rng.uniform(*scale), rng.uniform(-turn, turn)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, size)
    matrix[:, 2] += rng.uniform(-1, 1, 2) * shift * np.array([width, height])
    if flip:
        matrix = matrix @ np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]])
    cover, paint = (cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
                    for image in (subject.cover, subject.colour))  # fmt: skip
    return cv2.GaussianBlur(cover, (3, 3), 0) / np.float32(255), paint / np.float32(255)


def _shadow(picture, cover, slope):
    """Darken the ground where the body keeps the sun off: beside a person, below a vehicle."""
    height, width = cover.shape
    rows = np.flatnonzero(cover.max(1) > 0.5)
    if not len(rows):
        return
    lean, flat, low = (-0.42 * np.sign(slope), 0.18, 0.0) if height > width else (0.0, 0.3, 0.02)
    feet = rows[-1] + low * height
    matrix = np.array([[1, lean, -lean * feet], [0, flat, feet * (1 - flat)]])
    dark = cv2.GaussianBlur(cv2.warpAffine(cover, matrix, (width, height)), (0, 0), height / 90)
    picture *= 1 - 0.45 * dark[..., None]


def _rounding(cover, slope):
    """Light on a round body: darker towards the edge that is turned away from the sun."""
    height = cover.shape[0]
    soft = cv2.GaussianBlur(cover, (0, 0), height / 45)
    away = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3) * height / 45
    return np.clip(1 + np.float32(np.sign(slope) * 0.3) * away, 0.6, 1.25)[..., None]


def _strong(paint):
    """Stronger colours."""
    grey = paint.mean(-1, keepdims=True)
    return np.clip(grey + 1.35 * (paint - grey), 0, 1)
