"""Places of the toy world with positions, in the layout of place recognition sets."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import utm

from mdir.data.place_names import make_name
from mdir.toy_world.layouts import Layout, Shot
from mdir.toy_world.light import CONDITIONS
from mdir.toy_world.places import Place, generator
from mdir.toy_world.view import draw_view
from mdir.toy_world.world import write_layout

MANIFEST = "toy_places.json"
FOLDER = "data/places/images/test"
VERSION = 1  # counts changes of what is written
_CORNER = (458_500.0, 5_548_000.0, 33, "U")  # in Prague
_STREET, _HOUSES = 60.0, 4  # metres from place to place, places a street
_STEP = 8.0  # metres that a whole side step of a view takes


@dataclass(frozen=True)
class PlaceSizes:
    """How much is drawn.

    ``image_size`` is the long side in pixels; numbers of places that queries show, of views of each
    in the database, and of queries of each by day, at sunset, by night and in fog.
    """

    image_size: int = 96
    places: int = 12
    views: int = 4
    queries: int = 2


def write_toy_places(
    directory: str | os.PathLike, seed: int = 0, sizes: PlaceSizes | None = None
) -> dict:
    """Draw a small place recognition set, positions in the names of its files.

    As many places again are in the database alone, and of each condition one query shows a place
    that is not in the database.

    Returns, Raises:
        as :func:`mdir.toy_world.world.write_toy_world`; the manifest is ``toy_places.json``.
    """
    sizes, layout = sizes or PlaceSizes(), Layout()

    def add(folder, number, view, condition="day"):
        rng = generator(seed, "positioned", number, "view", view)
        seen = draw_view(rng)
        size = sizes.image_size, sizes.image_size * 3 // 4
        shot = Shot(Place(seed, "positioned", number), seen, condition, size)
        layout.shots[f"{FOLDER}/{folder}/{_name(number, view, seen, condition)}"] = shot

    for number in range(2 * sizes.places):
        for view in range(sizes.views if number < sizes.places else 1):
            add("database", number, view)
    for condition in CONDITIONS:
        for number in (*range(sizes.places), 2 * sizes.places):
            for query in range(sizes.queries if number < sizes.places else 1):
                add(f"queries_{condition}", number, sizes.views + query, condition)
    about = {"version": VERSION, "seed": seed, "sizes": asdict(sizes)}
    return write_layout(Path(directory) / MANIFEST, layout, about)


def _name(number, view, seen, condition):
    east, north, zone, letter = _CORNER
    street, house = divmod(number, _HOUSES)
    latitude, longitude = utm.to_latlon(
        east + house * _STREET + seen.yaw * _STEP, north + street * _STREET, zone, letter
    )
    return make_name(
        latitude, longitude, pano_id=f"place{number:02d}", tile=view, heading=0, note=condition
    )
