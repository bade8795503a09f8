"""Images of the toy world: a place from a viewpoint under a condition."""

import cv2
import numpy as np

from mdir.toy_world.light import CONDITIONS, finish, light_up, sky
from mdir.toy_world.places import Place, front, generator
from mdir.toy_world.view import View, homography

CAR_COLOURS = (
    (176, 40, 40),
    (40, 70, 150),
    (220, 220, 216),
    (50, 52, 56),
    (208, 170, 50),
    (70, 120, 90),
)


def render(place: Place, view: View, condition: str, size, shot: int = 0) -> np.ndarray:
    """Draw an image.

    Args:
        condition: ``day``, ``sunset``, ``night`` or ``fog``.
        size: (width, height) in pixels.
        shot: number of the photograph; weather, lit windows and noise differ from shot to shot.

    Returns:
        uint8 array [height, width, 3], RGB.
    """
    large = (2 * size[0], 2 * size[1])
    rng = generator(place.seed, place.split, place.number, view, condition, shot)
    light = CONDITIONS[condition](rng)
    canvas = front(place)
    matrix = homography(view, canvas.cover.shape[::-1], large)

    def warp(image):
        return cv2.warpPerspective(image, matrix, large, flags=cv2.INTER_AREA)

    image = sky(light, large, rng)
    _street(image, view, light, rng)
    cover = cv2.GaussianBlur(warp(canvas.cover), (3, 3), 0)[..., None].astype(np.float32) / 255
    paint = warp(canvas.colour).astype(np.float32) / 255
    flood = warp(canvas.flood)[..., None].astype(np.float32) / 255
    shining = warp(light_up(canvas, light, rng)).astype(np.float32) / 255
    image += cover * (paint * light.on_wall(flood, large) + shining - image)
    glow = cover * shining
    glow = glow + _street_furniture(image, view, light)
    image = finish(image, glow, view.ground, light, rng)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    noisy = small + rng.normal(0, light.noise, small.shape)
    return np.uint8(np.clip(noisy, 0, 1) * 255)


def _street(image, view, light, rng):
    height, width = image.shape[:2]
    start = int(view.ground * height) - height // 12
    grey = np.array([0.42, 0.42, 0.44]) * rng.uniform(0.85, 1.1)
    depth = np.linspace(0.75, 1.1, height - start)[:, None, None]
    image[start:] = grey * depth * light.ambient
    kerb = int((view.ground + 0.035) * height)
    image[kerb : kerb + max(height // 60, 1)] = np.array([0.72, 0.71, 0.68]) * light.ambient
    vanishing = ((0.5 - 0.35 * view.yaw) * width, view.horizon * height)
    for at in np.linspace(-0.4, 1.4, 7):
        foot = np.array([at * width, height])
        ends = [foot + (np.array(vanishing) - foot) * share for share in (0.05, 0.3)]
        colour = tuple(map(float, np.array([0.8, 0.8, 0.76]) * light.ambient))
        cv2.line(
            image,
            *[tuple(map(int, end)) for end in ends],
            colour,
            max(height // 110, 1),
            cv2.LINE_AA,
        )


def _street_furniture(image, view, light):
    """Draw what stands before the front; returns what of it shines, as an image."""
    height, width = image.shape[:2]
    glow = np.zeros_like(image)

    def disc(image, x, y, radius, colour, squeeze=1.0):
        axes = (max(int(radius * height), 1), max(int(radius * squeeze * height), 1))
        centre = (int(x), int(y))
        cv2.ellipse(image, centre, axes, 0, 0, 360, tuple(map(float, colour)), -1, cv2.LINE_AA)

    def box(x, y, w, h, colour):
        low, high = (int(x - w / 2), int(y - h)), (int(x + w / 2), int(y))
        cv2.rectangle(image, low, high, tuple(map(float, colour)), -1, cv2.LINE_AA)

    foot = (view.ground + 0.05) * height
    for x, tall in view.trees:
        x, crown = x * width, tall * height
        box(x, foot, crown * 0.1, crown * 0.5, np.array([0.3, 0.22, 0.16]) * light.ambient)
        for dx, dy, share in ((-0.22, 0.55, 0.26), (0.22, 0.6, 0.26), (0, 0.8, 0.3), (0, 0.5, 0.3)):
            green = np.array([0.2, 0.4, 0.16]) * (0.8 + 0.4 * dy) * light.ambient
            disc(image, x + dx * crown, foot - dy * crown, share * tall, green)
    for x in view.lamps:
        x, tall = x * width, 0.27 * height
        box(x, foot, max(height * 0.008, 1), tall, np.array([0.16, 0.16, 0.18]) * light.ambient)
        disc(image, x, foot - tall, 0.018, light.lamp)
        disc(glow, x, foot - tall, 0.024, np.array(light.lamp) * light.lamps)
    road = (view.ground + 0.15) * height
    for x, colour in view.cars:
        x, long = x * width, 0.21 * height
        paint = np.array(CAR_COLOURS[colour]) / 255 * light.ambient
        box(x, road, long, long * 0.26, paint)
        box(x, road - long * 0.2, long * 0.56, long * 0.22, paint * 0.85)
        box(
            x,
            road - long * 0.24,
            long * 0.48,
            long * 0.14,
            np.array([0.3, 0.36, 0.42]) * light.ambient,
        )
        for side in (-1, 1):
            disc(image, x + side * long * 0.28, road, 0.024, (0.05, 0.05, 0.05))
        disc(image, x + long * 0.5, road - long * 0.14, 0.009, (1, 0.97, 0.85))
        disc(
            glow, x + long * 0.5, road - long * 0.14, 0.016, np.array([1, 0.95, 0.8]) * light.lamps
        )
    for k, x in enumerate(view.people):
        x, y = x * width, foot + (0.02 + 0.02 * (k % 3)) * height
        coat = np.array(CAR_COLOURS[(k * 5 + int(x)) % 6]) / 255 * light.ambient
        box(x, y, height * 0.022, height * 0.06, coat)
        disc(image, x, y - height * 0.07, 0.011, np.array([0.85, 0.68, 0.56]) * light.ambient)
    return glow
