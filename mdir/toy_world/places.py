"""Places of the toy world: a landmark between ordinary houses."""

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mdir.toy_world.buildings import KINDS
from mdir.toy_world.canvas import Canvas
from mdir.toy_world.walls import Style, draw_style, rows, wall

WIDTH = 2.6  # of the drawn strip of street, in units of its height
PIXELS = 320


def generator(*key) -> np.random.Generator:
    """A random generator that depends on nothing but the key (numbers and texts)."""
    return np.random.default_rng([zlib.crc32(repr(key).encode())])


@dataclass(frozen=True)
class Place:
    """One place: the same seed, kind and number always give the same street front."""

    seed: int
    split: str
    number: int

    @property
    def kind(self):
        """The function that draws the landmark; kinds take turns from place to place."""
        start = generator(self.seed, self.split, "kinds").permutation(len(KINDS))
        return KINDS[start[self.number % len(start)]]


@lru_cache(maxsize=4)
def front(place: Place) -> Canvas:
    """Draw the street front of a place, the landmark in the middle."""
    rng = generator(place.seed, place.split, place.number, "front")
    canvas = Canvas(WIDTH, PIXELS)
    x = 0.0
    while x < WIDTH:
        x += _house(canvas, rng, x)
    middle = WIDTH / 2
    canvas.floodlit = True
    style = draw_style(rng)
    place.kind(canvas, style, middle)
    return canvas


def _house(canvas, rng, left):
    """Draw an ordinary house and return the width of ground it takes."""
    width, height = rng.uniform(0.16, 0.28), rng.uniform(0.1, 0.21)
    grey = rng.uniform(110, 190) * np.array([1, 0.97, 0.92]) * rng.uniform(0.92, 1.06, 3)
    style = Style(
        wall=tuple(grey),
        trim=tuple(grey * 0.8),
        roof=(112, 88, 76),
        size=1,
        wide=1,
        floors=2,
        bays=3,
        window="square",
        pattern="plain",
    )
    wall(canvas, style, left, 0, width, height)
    floors = 1 if height < 0.15 else 2
    rows(canvas, style, left, 0.01, width, height - 0.01, floors, 3)
    roof = rng.uniform(0.03, 0.07)
    points = [
        (left - 0.01, height),
        (left + width + 0.01, height),
        (left + width * 0.9, height + roof),
        (left + width * 0.1, height + roof),
    ]
    canvas.polygon(points, style.roof)
    return width + rng.choice([0.0, 0.0, 0.05])
