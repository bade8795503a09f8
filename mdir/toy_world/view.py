"""Viewpoints of the toy world: from where a place is seen and what stands in the way."""

from dataclasses import dataclass

import cv2
import numpy as np

from mdir.toy_world.places import WIDTH


@dataclass(frozen=True)
class View:
    """A camera before a place, in units of the image's height.

    ``yaw`` is the side step (-1 far left .. 1 far right), ``zoom`` the height of the street front,
    ``x`` where the landmark's middle stands (0..1 of the image's width), ``ground`` how far down
    the front meets the street, ``horizon`` the height of the eyes.
    """

    yaw: float
    zoom: float
    x: float
    ground: float
    horizon: float
    trees: tuple
    cars: tuple
    people: tuple
    lamps: tuple


def draw_view(rng) -> View:
    """Draw a viewpoint."""
    ground = rng.uniform(0.8, 0.88)
    return View(
        yaw=rng.uniform(-0.7, 0.7),
        zoom=rng.uniform(0.92, 1.2),
        x=rng.uniform(0.41, 0.59),
        ground=ground,
        horizon=ground - rng.uniform(0.05, 0.14),
        trees=tuple(
            (rng.uniform(0, 1), rng.uniform(0.16, 0.34)) for _ in range(rng.integers(0, 2))
        ),
        cars=tuple((rng.uniform(0, 1), int(rng.integers(6))) for _ in range(rng.integers(0, 3))),
        people=tuple(rng.uniform(0, 1) for _ in range(rng.integers(0, 5))),
        lamps=tuple(map(float, np.sort(rng.uniform(0.03, 0.97, rng.integers(1, 4))))),
    )


def homography(view: View, canvas_size, size):
    """The map from canvas pixels to image pixels, float64 [3, 3].

    Args:
        canvas_size, size: (width, height) of the canvas and of the image, in pixels.
    """
    width, height = size
    near, far = 1 + 0.38 * view.yaw, 1 - 0.38 * view.yaw
    half = WIDTH / 2 * view.zoom * (1 - 0.25 * abs(view.yaw))
    middle = view.x * width / height
    corners = []
    for side, scale in ((-1, near), (1, far)):
        x = middle + side * half
        foot = view.horizon + (view.ground - view.horizon) * scale
        top = view.horizon - (view.zoom - (view.ground - view.horizon)) * scale
        corners.append([(x * height, foot * height), (x * height, top * height)])
    (low_left, high_left), (low_right, high_right) = corners
    w, h = canvas_size
    source = np.float32([(0, h), (0, 0), (w, h), (w, 0)])
    return cv2.getPerspectiveTransform(
        source, np.float32([low_left, high_left, low_right, high_right])
    )


def landmark_box(view: View, canvas, size):
    """The bounding box (x1, y1, x2, y2) of the landmark in the image, in pixels."""
    rows, columns = np.nonzero(canvas.flood)
    corners = np.array(
        [(x, y) for x in (columns.min(), columns.max()) for y in (rows.min(), rows.max())], float
    )
    matrix = homography(view, canvas.cover.shape[::-1], size)
    points = cv2.perspectiveTransform(corners[None], matrix)[0]
    low, high = points.min(0), points.max(0)
    return [*np.clip(low, 0, np.array(size) - 8), *np.clip(high, 8, size)]
