"""Light of the toy world: day, sunset, night and fog."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Light:
    """How a scene is lit. Colours are RGB factors; 1 is white paper in the sun.

    ``ambient`` lights everything, ``floodlight`` the landmark from below, ``windows`` is the share
    of lit windows, ``lamps`` the strength of lamps, ``haze`` (colour, share) lies over the scene.
    """

    ambient: np.ndarray
    zenith: np.ndarray
    skyline: np.ndarray
    clouds: float = 0.0
    stars: int = 0
    floodlight: float = 0.0
    windows: float = 0.0
    lamps: float = 0.0
    lamp: tuple = (0.78, 0.78, 0.74)
    slope: float = 0.0
    haze: tuple | None = None
    noise: float = 0.008
    contrast: float = 1.0

    def on_wall(self, flood, size):
        """Light that falls on the fronts: float32 array [height, width, 3 or 1]."""
        width, height = size
        across = np.linspace(1 - self.slope, 1 + self.slope, width, dtype=np.float32)[None, :, None]
        up = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
        warm = np.array([1.0, 0.86, 0.66], np.float32)
        beam = self.floodlight * np.exp(-((up - 0.25) ** 2) / 0.3).astype(np.float32)
        return np.float32(self.ambient) * across + flood * beam * warm


def day(rng) -> Light:
    """Blue or overcast sky, sun from the left or right."""
    overcast = rng.random() < 0.35
    exposure = rng.uniform(0.86, 1.1)
    warmth = rng.uniform(-0.06, 0.06)
    blue = np.array([0.62, 0.68, 0.74]) if overcast else np.array([0.3, 0.52, 0.86])
    return Light(
        ambient=exposure * np.array([1 + warmth, 1, 1 - warmth]),
        zenith=blue * exposure,
        skyline=np.array([0.84, 0.89, 0.94]) * exposure,
        clouds=rng.uniform(0.0, 0.25) if overcast else rng.uniform(0.3, 0.8),
        slope=rng.uniform(-0.25, 0.25) * (0.3 if overcast else 1),
    )


def sunset(rng) -> Light:
    """Orange sky, first windows lit."""
    return Light(
        ambient=rng.uniform(0.5, 0.62) * np.array([1.12, 0.9, 0.84]),
        zenith=np.array([0.3, 0.3, 0.52]),
        skyline=np.array([0.98, 0.62, 0.38]),
        clouds=rng.uniform(0.2, 0.6),
        floodlight=rng.uniform(0, 0.2),
        windows=rng.uniform(0.15, 0.4),
        lamps=0.5,
        lamp=(1.0, 0.85, 0.6),
        slope=rng.uniform(-0.15, 0.15),
        noise=0.014,
    )


def night(rng) -> Light:
    """Dark sky, floodlit landmark, lit windows, lamps, noise."""
    return Light(
        ambient=rng.uniform(0.26, 0.38) * np.array([0.88, 0.9, 1.12]),
        zenith=np.array([0.02, 0.03, 0.075]) * rng.uniform(0.6, 2),
        skyline=np.array([0.2, 0.14, 0.13]) * rng.uniform(0.6, 1.4),
        stars=int(rng.integers(0, 50)),
        floodlight=rng.uniform(0.5, 0.85),
        windows=rng.uniform(0.3, 0.85),
        lamps=rng.uniform(0.8, 1.2),
        lamp=(1.0, rng.uniform(0.76, 0.92), rng.uniform(0.45, 0.75)),
        noise=rng.uniform(0.012, 0.028),
        contrast=0.92,
    )


def fog(rng) -> Light:
    """Day with grey haze over everything."""
    grey = rng.uniform(0.7, 0.82)
    return Light(
        ambient=np.full(3, 0.85),
        zenith=np.full(3, grey),
        skyline=np.full(3, grey),
        haze=(np.array([grey, grey, grey * 1.02]), rng.uniform(0.55, 0.72)),
        contrast=0.9,
    )


CONDITIONS = {"day": day, "sunset": sunset, "night": night, "fog": fog}


def sky(light: Light, size, rng) -> np.ndarray:
    """The sky as a float32 image [height, width, 3]."""
    width, height = size
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 1.3
    image = np.float32(light.zenith) * (1 - down) + np.float32(light.skyline) * down
    image = np.ascontiguousarray(np.broadcast_to(image, (height, width, 3)))
    coarse = rng.normal(size=(7, 4)).astype(np.float32)
    fine = rng.normal(size=(18, 11)).astype(np.float32)
    wool = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    wool += 0.5 * cv2.resize(fine, size, interpolation=cv2.INTER_CUBIC)
    share = np.clip(wool - 0.3, 0, 1)[..., None] * light.clouds
    image += share * (np.float32(np.array(light.skyline) * 1.08) - image)
    for x, y, bright in rng.random((light.stars, 3)):
        image[int(y * 0.6 * height), int(x * width)] = 0.3 + 0.6 * bright
    if light.stars > 30:
        moon = (int(rng.uniform(0.05, 0.95) * width), int(rng.uniform(0.06, 0.25) * height))
        cv2.circle(image, moon, height // 28, (0.92, 0.9, 0.8), -1, cv2.LINE_AA)
    return image


def light_up(canvas, light: Light, rng) -> np.ndarray:
    """The lit windows of a front: uint8 image of the canvas's size."""
    warm, cool = np.array([250, 196, 104]), np.array([206, 218, 245])
    lit = rng.random(canvas.windows + 1) < light.windows
    tone = np.where(rng.random(len(lit))[:, None] < 0.85, warm, cool)
    colours = tone * rng.uniform(0.55, 1.0, len(lit))[:, None] * lit[:, None]
    colours[0] = 0
    return np.take(colours.astype(np.uint8), canvas.panes, axis=0)


def finish(image, glow, ground, light: Light, rng) -> np.ndarray:
    """Add the halos of lamps and windows, reflections on the street, haze and contrast."""
    height, width = image.shape[:2]
    if light.lamps:
        halo = cv2.GaussianBlur(glow, (0, 0), height / 45)
        wide = cv2.GaussianBlur(glow, (0, 0), height / 11)
        image = image + 0.5 * halo + 1.1 * wide * light.lamps
        start = int((ground + 0.04) * height)
        mirror = cv2.GaussianBlur(glow[start - 1 :: -1], (0, 0), width / 90, sigmaY=height / 12)
        depth = min(height - start, len(mirror))
        image[start : start + depth] += 0.6 * mirror[:depth]
    if light.haze:
        colour, share = light.haze
        image = image + share * (np.float32(colour) - image)
    image = (image - 0.5) * light.contrast + 0.5 * light.contrast + (1 - light.contrast) * 0.25
    return image.astype(np.float32)
