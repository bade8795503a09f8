"""Out of focus behind the birds of the toy world: leaves, branches, water, meadow, reeds."""

import cv2
import numpy as np


def outdoors(canvas, rng) -> np.ndarray:
    """Draw a scene over a whole canvas: uint8 array [height, width, 3], RGB."""
    height, width = canvas.cover.shape
    _SCENES[rng.integers(len(_SCENES))](canvas, rng, width / height)
    return cv2.GaussianBlur(canvas.colour, (0, 0), height * rng.uniform(0.008, 0.03))


def _tone(rng, colour, spread=0.15):
    return np.array(colour) * rng.uniform(1 - spread, 1 + spread)


def _background(canvas, wide, top, bottom):
    for step in np.linspace(0, 1, 24, endpoint=False):
        colour = np.array(bottom) + step * (np.array(top) - np.array(bottom))
        canvas.box(0, step, wide, 1 / 24 + 0.01, colour)


def _leaves(canvas, rng, wide):
    _background(canvas, wide, _tone(rng, (120, 146, 96)), _tone(rng, (62, 88, 52)))
    for x, y, size in rng.random((90, 3)):
        green = _tone(rng, (104 + rng.uniform(-20, 40), 136, 72), 0.45)
        canvas.disc(x * wide, y, 0.03 + 0.11 * size, green)


def _branches(canvas, rng, wide):
    sky = _tone(rng, (188, 204, 218))
    _background(canvas, wide, sky * 0.92, sky * 1.06)
    for x, y, lean in rng.random((16, 3)):
        foot, tip = (x * wide, y - 0.4), (x * wide + lean - 0.5, y + 0.5)
        canvas.line(foot, tip, _tone(rng, (112, 96, 84), 0.3), 0.012 + 0.03 * lean)


def _water(canvas, rng, wide):
    blue = _tone(rng, (104, 132, 150))
    _background(canvas, wide, blue * 1.15, blue * 0.8)
    for x, y, size in rng.random((70, 3)):
        canvas.disc(x * wide, y, 0.05 + 0.2 * size, blue * rng.uniform(0.8, 1.3), 0.12)


def _meadow(canvas, rng, wide):
    _background(canvas, wide, _tone(rng, (186, 196, 180)), _tone(rng, (120, 134, 70)))
    for x, y in rng.random((160, 2)):
        blade = _tone(rng, (136, 150, 78), 0.4)
        canvas.line((x * wide, y * 0.5 - 0.15), (x * wide + y * 0.1, y * 0.7), blade, 0.014)
    for x, y in rng.random((14, 2)):
        canvas.disc(x * wide, y * 0.4, 0.02, rng.uniform(140, 235, 3))


def _reeds(canvas, rng, wide):
    _background(canvas, wide, _tone(rng, (196, 186, 160)), _tone(rng, (116, 108, 88)))
    for x, y, lean in rng.random((60, 3)):
        straw = _tone(rng, (168, 146, 98), 0.35)
        canvas.line((x * wide, -0.1), (x * wide + 0.3 * (lean - 0.5), 0.4 + y * 0.7), straw, 0.02)


_SCENES = (_leaves, _branches, _water, _meadow, _reeds)
