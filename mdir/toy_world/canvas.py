"""A surface on which the buildings of the toy world are drawn: colour, outline and windows."""

import cv2
import numpy as np

SHIFT = 4  # OpenCV takes fixed-point coordinates, which places edges between pixels


class Canvas:
    """What stands on a strip of ground, drawn front on.

    Coordinates are in units of the canvas's height: x to the right from 0 to ``width``, y upwards
    from the ground at 0 to 1. Colours are RGB in 0..255.

    Attributes:
        colour: uint8 array [height, width, 3], the paint under white light.
        cover: uint8 array [height, width], 255 where something stands.
        flood: uint8 array [height, width], 255 where floodlights shine by night.
        panes: uint16 array [height, width], number (from 1) of the window seen there.
    """

    def __init__(self, width: float, pixels: int):
        self.pixels = pixels
        self.colour = np.zeros((pixels, round(width * pixels), 3), np.uint8)
        self.cover = np.zeros(self.colour.shape[:2], np.uint8)
        self.flood = np.zeros(self.colour.shape[:2], np.uint8)
        self.panes = np.zeros(self.colour.shape[:2], np.uint16)
        self.windows = 0
        self.floodlit = False

    def polygon(self, points, colour) -> None:
        """Fill a polygon given by points (x, y)."""
        self._fill(self._pixels(points), colour)

    def box(self, left, bottom, width, height, colour) -> None:
        """Fill an upright rectangle."""
        right, top = left + width, bottom + height
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], colour)

    def disc(self, x, y, radius, colour, squeeze=1.0, span=(0, 360)) -> None:
        """Fill an ellipse, or the sector of it between two angles (degrees, counter-clockwise)."""
        self.polygon(arc(x, y, radius, radius * squeeze, *span), colour)

    def line(self, start, end, colour, thickness=0.008) -> None:
        """Draw a straight line; its thickness is in the canvas's units."""
        (x0, y0), (x1, y1) = start, end
        length = max(np.hypot(x1 - x0, y1 - y0), 1e-9)
        dx, dy = (y0 - y1) / length * thickness / 2, (x1 - x0) / length * thickness / 2
        self.polygon(
            [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)], colour
        )

    def window(self, x, bottom, width, height, shape, frame, pane=(70, 90, 110)) -> None:
        """Put in a window centred at ``x``; ``shape`` is square, round, pointed or rose."""
        self._fill(self._pixels(outline(x, bottom, width * 1.35, height * 1.18, shape)), frame)
        self.pane(outline(x, bottom + height * 0.06, width, height, shape), pane)
        if shape != "rose":
            self.line((x, bottom), (x, bottom + height), frame, width * 0.12)

    def pane(self, points, colour) -> None:
        """Fill a polygon that lights up by night."""
        self.windows += 1
        self._fill(self._pixels(points), colour, self.windows)

    def _pixels(self, points):
        points = np.asarray(points, float) * self.pixels
        return np.stack([points[:, 0], self.pixels - points[:, 1]], 1)

    def _fill(self, pixels, colour, pane=0):
        fixed = np.round(pixels * (1 << SHIFT)).astype(np.int32)
        shade = tuple(int(np.clip(value, 0, 255)) for value in colour)
        cv2.fillPoly(self.colour, [fixed], shade, cv2.LINE_AA, SHIFT)
        cv2.fillPoly(self.cover, [fixed], 255, cv2.LINE_8, SHIFT)
        cv2.fillPoly(self.panes, [fixed], pane, cv2.LINE_8, SHIFT)
        cv2.fillPoly(self.flood, [fixed], 255 if self.floodlit else 0, cv2.LINE_8, SHIFT)


def arc(x, y, radius_x, radius_y, start=0, end=360, steps=28):
    """Points on an ellipse from one angle to another, in degrees counter-clockwise."""
    angles = np.radians(np.linspace(start, end, steps))
    return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], 1)


def outline(x, bottom, width, height, shape):
    """The outline of a window centred at ``x`` as points [N, 2]."""
    left, right, top = x - width / 2, x + width / 2, bottom + height
    if shape == "rose":
        return arc(x, bottom + height / 2, width / 2, height / 2)
    if shape == "square":
        return np.array([(left, bottom), (right, bottom), (right, top), (left, top)])
    spring = top - width / 2 if shape == "round" else top - width * 0.8
    spring = max(spring, bottom)
    sides = np.array([(left, bottom), (right, bottom)])
    if shape == "round":
        return np.concatenate([sides, arc(x, spring, width / 2, top - spring, 0, 180, 12)])
    return np.concatenate([sides, [(right, spring), (x, top), (left, spring)]])
