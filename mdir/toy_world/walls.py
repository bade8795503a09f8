"""What the buildings of the toy world are made of: styles, walls, rows of windows, doors."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Style:
    """What tells two buildings of one kind apart.

    Colours are RGB in 0..255; ``size`` scales the height, ``wide`` the width, ``floors`` and
    ``bays`` count windows up and across, ``pattern`` is the texture of the walls.
    """

    wall: tuple
    trim: tuple
    roof: tuple
    size: float
    wide: float
    floors: int
    bays: int
    window: str
    pattern: str


PATTERNS = ("plain", "courses", "stripes", "checks", "timber")
WINDOWS = ("square", "round", "pointed")
ROOFS = ((168, 74, 52), (92, 106, 120), (70, 130, 112), (122, 84, 58), (60, 64, 84), (196, 150, 60))


def draw_style(rng) -> Style:
    """Draw the style of a building."""
    hue = rng.uniform(0, 6)
    strength = rng.uniform(0.08, 0.5)
    bright = rng.uniform(140, 235)
    rainbow = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    wall = bright * (1 - strength + strength * rainbow)
    light = rng.random() < 0.6
    trim = np.clip(wall * (1.25 if light else 0.55), 20, 250)
    return Style(
        wall=tuple(wall),
        trim=tuple(trim),
        roof=ROOFS[rng.integers(len(ROOFS))],
        size=rng.uniform(0.86, 1.1),
        wide=rng.uniform(0.85, 1.15),
        floors=int(rng.integers(2, 6)),
        bays=int(rng.integers(3, 7)),
        window=WINDOWS[rng.integers(len(WINDOWS))],
        pattern=PATTERNS[rng.integers(len(PATTERNS))],
    )


def wall(canvas, style, left, bottom, width, height):
    """A wall with the style's texture."""
    canvas.box(left, bottom, width, height, style.wall)
    dark = np.array(style.wall) * 0.78
    if style.pattern == "courses":
        for y in np.arange(bottom + 0.035, bottom + height, 0.045):
            canvas.line((left, y), (left + width, y), dark, 0.006)
    elif style.pattern == "stripes":
        for k, y in enumerate(np.arange(bottom, bottom + height - 0.02, 0.06)):
            if k % 2:
                canvas.box(left, y, width, min(0.06, bottom + height - y), style.trim)
    elif style.pattern == "checks":
        count = max(int(width / 0.05), 1)
        for k in range(count):
            for row in range(2):
                if (k + row) % 2:
                    canvas.box(
                        left + k * width / count, bottom + row * 0.04, width / count, 0.04, dark
                    )
    elif style.pattern == "timber":
        beam = (74, 52, 40)
        for x in np.linspace(left, left + width, max(int(width / 0.12), 2)):
            canvas.line((x, bottom), (x, bottom + height), beam, 0.012)
        for y in np.arange(bottom + 0.12, bottom + height, 0.16):
            canvas.line((left, y), (left + width, y), beam, 0.012)


def rows(canvas, style, left, bottom, width, height, floors, bays):
    """A grid of windows on a wall."""
    for y in bottom + height * (np.arange(floors) + 0.22) / floors:
        for x in left + width * (np.arange(bays) + 0.5) / bays:
            size = min(width / bays * 0.42, height / floors * 0.5)
            canvas.window(x, y, size, height / floors * 0.55, style.window, style.trim)


def door(canvas, x, width, height):
    """A round-headed door on the ground."""
    canvas.box(x - width / 2, 0, width, height - width / 2, (62, 44, 36))
    canvas.disc(x, height - width / 2, width / 2, (62, 44, 36), span=(0, 180))
