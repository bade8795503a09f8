"""Reading with a cache of decoded images beside reading without one, in one run.

    python3 -m benchmarks.decoded [CASE ...] [--images 100]

Cases: mining (JPEG files of 1024 x 768 pixels, shrunk to 362), toy (128 x 96, shrunk to 96). Each
tells images a second of one processor: Pillow decoding the files and nothing else, which no
reading without a cache can exceed; an epoch without the cache; the one that fills it; those after.
"""

import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from benchmarks import running
from benchmarks.running import Case
from mdir.data.loading import make_dataset, make_loader

CASES = {"mining": ((1024, 768), 362), "toy": ((128, 96), 96)}
_TRANSFORMS, _MEAN_STD = "pil2np | totensor | normalize", [[0.485, 0.456, 0.406], [0.229] * 3]
_REPEATS = 3


def write_pictures(folder: Path, count: int, size: tuple[int, int]) -> list[str]:
    """JPEG files of smooth noise, of which a photograph's decoder has as much to do; their names.

    Args:
        size: width and height in pixels.
    """
    rng, names = np.random.RandomState(0), []
    for number in range(count):
        coarse = rng.randint(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        names.append(f"{number}.jpg")
        picture.save(folder / names[-1], quality=90)
    return names


def decode(paths) -> None:
    """Pillow alone: the pixels of files at their full size."""
    for path in paths:
        with Image.open(path) as image:
            image.convert("RGB")


def epoch(names, image_size: int, cache: float | None):
    """A function that reads all images of an epoch, one by one, as mining does."""
    dataset = {"name": "CirImageList", "image_dir": "pictures", "image_size": image_size}
    section = {"dataset": dataset, "transforms": _TRANSFORMS, "mean_std": _MEAN_STD}
    section["loader"] = {"batch_size": 1, "num_workers": 0}
    images = make_dataset({**section, "decoded_cache": cache}, None, (names,))
    return lambda: [batch.tensor for batch in make_loader(images, section)]


def _timed(function, *arguments):
    start = time.process_time()
    return function(*arguments), time.process_time() - start


def measure(root: Path, name: str, count: int) -> tuple[dict[str, float], float]:
    """Images a second of a case by what reads them; how far the cached ones are from the others."""
    size, image_size = CASES[name]
    folder = root / "pictures"
    folder.mkdir()
    names = write_pictures(folder, count, size)
    paths = [folder / name for name in names]
    plain, cached = epoch(names, image_size, None), epoch(names, image_size, 1)
    times = {"decoding alone": [], "without": [], "filling": [_timed(cached)[1]], "second": []}
    for _ in range(_REPEATS):
        times["decoding alone"].append(_timed(decode, paths)[1])
        expected, seconds = _timed(plain)
        times["without"].append(seconds)
        found, seconds = _timed(cached)
        times["second"].append(seconds)
    difference = max((a - b).abs().max() for a, b in zip(expected, found, strict=True))
    return {key: count / min(found) for key, found in times.items()}, float(difference)


def reading(bench, name, images=100):
    """Processor time of an epoch with the cache beside one without."""
    count = max(1, int(images * bench.scale))
    with (
        tempfile.TemporaryDirectory() as root,
        mock.patch.dict(os.environ, CIRTORCH_ROOT=root),
    ):
        rates, difference = measure(Path(root), name, count)
    ratio = rates["second"] / rates["without"]
    told = ", ".join(f"{key} {rate:.0f}" for key, rate in rates.items())
    print(
        f"  images a second: {told}; the second epoch is {ratio:.2f} times as fast as without, "
        f"{rates['second'] / rates['decoding alone']:.2f} times as decoding alone",
        flush=True,
    )
    return {
        "size": f"{count} images",
        "milliseconds": 1000 * count / rates["second"],
        "twin_milliseconds": 1000 * count / rates["without"],
        "ratio": ratio,
        "difference": difference,
        "rates": rates,
    }


def cases(**options):
    """All of them; options as of :func:`reading`."""
    return [Case(f"decoded.{name}", partial(reading, **options), None, (name,)) for name in CASES]


def main(arguments=None):
    """Run the cases that are named; returns the results."""
    parser = running.command_line("benchmarks.decoded", __doc__, ", ".join(CASES))
    parser.add_argument("--images", type=int, default=100, help="read in an epoch")
    options = parser.parse_args(arguments)
    return running.main(parser, options, cases(images=options.images), "decoded")


if __name__ == "__main__":
    sys.exit(running.exit_code(main()))
