"""Steps: draw the toy world."""

from pathlib import Path
from typing import Annotated, Literal

from mdir.artifacts import produced
from mdir.paths import resolve_path
from mdir.registry.ranges import at_least, between
from mdir.stages.step import step
from mdir.toy_world.fine_grained import MANIFEST as FINE_GRAINED_MANIFEST
from mdir.toy_world.fine_grained import MOST_CLASSES, FineGrainedSizes, write_toy_fine_grained
from mdir.toy_world.layouts import Sizes
from mdir.toy_world.positioned import FOLDER as PLACES_FOLDER
from mdir.toy_world.positioned import MANIFEST as PLACES_MANIFEST
from mdir.toy_world.positioned import PlaceSizes, write_toy_places
from mdir.toy_world.reid import MANIFEST as REID_MANIFEST
from mdir.toy_world.reid import MOST_CAMERAS, ReidSizes, write_toy_reid
from mdir.toy_world.world import MANIFEST, write_toy_world

Several = Annotated[int, at_least(2)]
DrawnSet = Literal["market1501", "msmt17", "personx", "veri", "vehicleid", "vehiclex"]


@step
def toy_world(
    _inputs,
    *,
    directory: str,
    seed: int = 0,
    image_size: Annotated[int, at_least(48)] = Sizes.image_size,
    train_places: Several = Sizes.train_places,
    val_places: Several = Sizes.val_places,
    test_places: Several = Sizes.test_places,
    day_views: Several = Sizes.day_views,
    night_views: Several = Sizes.night_views,
    pairs: Several = Sizes.pairs,
    night_share: Annotated[float, between(0, 1)] = Sizes.night_share,
):
    """Draw a small city by day and by night and write it in the layouts of the real datasets.

    Args:
        directory: folder that then holds ``data/train``, ``data/val``, ``data/test``, ... and
            ``weights/hed_interpolation.pth`` and ``weights/rcf.pth``, gradient detectors in the
            form of these architectures; relative to CIRTORCH_ROOT.
        seed: another seed is another city.
        image_size: long side of the images, in pixels.
        train_places, val_places, test_places: numbers of landmarks; test: of each test set.
        day_views, night_views: images of a landmark.
        pairs: aligned images of the two-domain sets for training (half as many more validate).
        night_share: of the places to train and validate with, those whose night images are in the
            tuples; the other places' are in the list of night images alone.
    """
    sizes = Sizes(
        image_size,
        train_places,
        val_places,
        test_places,
        day_views,
        night_views,
        pairs,
        night_share,
    )
    folder = Path(resolve_path(directory) or ".")
    manifest = write_toy_world(folder, seed, sizes)
    produced(folder / MANIFEST)
    for name in sorted({path.split("/jpg/")[0].split("/ims/")[0] for path in manifest["files"]}):
        produced(folder / name)
    return {"directory": str(folder), "seed": seed, "pictures": manifest["pictures"]}


@step
def toy_reid(
    _inputs,
    *,
    directory: str,
    sets: list[DrawnSet],
    seed: int = 0,
    height: Annotated[int, at_least(32)] = ReidSizes.height,
    identities: Several = ReidSizes.identities,
    test_identities: Several = ReidSizes.test_identities,
    cameras: Annotated[int, between(2, MOST_CAMERAS)] = ReidSizes.cameras,
    images: Several = ReidSizes.images,
):
    """Draw pedestrians and vehicles and write them in the layouts of re-identification sets.

    Args:
        directory: folder that then holds ``data/market1501`` and so on, each to be named by the
            ``image_dir`` of a dataset ``reid``; relative to CIRTORCH_ROOT.
        sets: to be drawn; those of games, personx and vehiclex, have another look than the others.
            vehicleid has as many test identities as are asked for (``test_size``, ``complete``).
        seed: another seed is other identities and other cameras.
        height: of a pedestrian's image in pixels; a vehicle's is as wide.
        identities, test_identities: of each set.
        cameras: that see every identity.
        images: of an identity by a camera; of the test, the first one is a query.
    """
    sizes = ReidSizes(height, identities, test_identities, cameras, images)
    folder = Path(resolve_path(directory) or ".")
    manifest = write_toy_reid(folder, sets, seed, sizes)
    produced(folder / REID_MANIFEST)
    for name in sets:
        produced(folder / "data" / name)
    return {"directory": str(folder), "seed": seed, "pictures": manifest["pictures"]}


@step
def toy_fine_grained(
    _inputs,
    *,
    directory: str,
    sets: list[Literal["car", "cub"]],
    seed: int = 0,
    image_size: Annotated[int, at_least(48)] = FineGrainedSizes.size,
    classes: Annotated[int, between(2, MOST_CLASSES)] = FineGrainedSizes.classes,
    images: Several = FineGrainedSizes.images,
):
    """Draw car models and bird species and write them in the layouts of CARS196 and CUB-200-2011.

    Args:
        directory: folder that then holds ``data/car`` and ``data/cub``, each to be named by the
            ``image_dir`` of a dataset ``fine_grained``; relative to CIRTORCH_ROOT.
        sets: to be drawn.
        seed: another seed is other models and other species.
        image_size: width of the images in pixels; their height is three quarters of that.
        classes: of each set that train; as many others test.
        images: of a class.
    """
    sizes = FineGrainedSizes(image_size, classes, images)
    folder = Path(resolve_path(directory) or ".")
    manifest = write_toy_fine_grained(folder, sets, seed, sizes)
    produced(folder / FINE_GRAINED_MANIFEST)
    for name in sets:
        produced(folder / "data" / name)
    return {"directory": str(folder), "seed": seed, "pictures": manifest["pictures"]}


@step
def toy_places(
    _inputs,
    *,
    directory: str,
    seed: int = 0,
    image_size: Annotated[int, at_least(48)] = PlaceSizes.image_size,
    places: Several = PlaceSizes.places,
    views: Annotated[int, at_least(1)] = PlaceSizes.views,
    queries: Annotated[int, at_least(1)] = PlaceSizes.queries,
):
    """Draw streets of a small city with positions in the names of the pictures.

    Args:
        directory: folder that then holds ``data/places/images/test``, with ``database``,
            ``queries_day``, ``queries_sunset``, ``queries_night`` and ``queries_fog``, to be named
            by the ``image_dir`` of a dataset ``places`` of set ``folder``; relative to
            CIRTORCH_ROOT.
        seed: another seed is another city.
        image_size: long side of the images, in pixels.
        places: that queries show; as many others are in the database alone.
        views: of each of these places in the database.
        queries: of each of these places, under each condition.
    """
    sizes = PlaceSizes(image_size, places, views, queries)
    folder = Path(resolve_path(directory) or ".")
    manifest = write_toy_places(folder, seed, sizes)
    produced(folder / PLACES_MANIFEST)
    produced(folder / PLACES_FOLDER)
    return {"directory": str(folder), "seed": seed, "pictures": manifest["pictures"]}
