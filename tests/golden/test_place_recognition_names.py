"""Golden parity of names that tell positions."""

import numpy as np

from mdir.data.datasets.places import Places
from mdir.data.place_names import is_timestamp, make_name, name_fields, padded
from tests.golden import golden

TOPIC = "place_recognition"


def given(value):
    return None if np.isnan(value) else value


def test_written_names():
    arrays = golden.needed_npz(TOPIC, "filenames.npz")
    columns = ("lat", "lon", "pano", "tile", "heading", "pitch", "timestamp", "note", "extension")
    rows = zip(*(arrays[f"build_{column}"].tolist() for column in columns), strict=True)
    names = [
        make_name(
            lat,
            lon,
            pano_id=pano,
            tile=None if tile == -1 else tile,
            heading=given(heading),
            pitch=given(pitch),
            timestamp=timestamp,
            note=note,
            extension=extension,
        )
        for lat, lon, pano, tile, heading, pitch, timestamp, note, extension in rows
    ]
    assert names == arrays["built_names"].tolist()


def test_numbers_and_time_stamps():
    arrays = golden.needed_npz(TOPIC, "filenames.npz")
    texts = [
        padded(value, *digits)
        for value, digits in zip(
            arrays["coord_value"].tolist(), arrays["coord_left_right"].tolist(), strict=True
        )
    ]
    assert texts == arrays["coord_text"].tolist()
    valid = [is_timestamp(text) for text in arrays["timestamp_text"].tolist()]
    assert valid == arrays["timestamp_valid"].tolist()


def padded_fields(names, width):
    fields = [name_fields(name) for name in names]
    return [len(one) for one in fields], [one + [""] * (width - len(one)) for one in fields]


def test_reading(root):
    arrays = golden.needed_npz(TOPIC, "filenames.npz")
    for part in ("database", "queries"):
        for name in arrays[f"{part}_files"].tolist():
            (root / "set" / part / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "set" / part / name).touch()
    found = Places(None, set="folder", image_dir="set")
    both = np.split(np.array(found.names), [found.database])
    positions = np.split(found.positions, [found.database])
    for part, paths, utm in zip(("database", "queries"), both, positions, strict=True):
        names = [path.removeprefix(f"{part}/") for path in paths.tolist()]
        assert names == arrays[f"{part}_order"].tolist()
        np.testing.assert_allclose(utm, arrays[f"{part}_utm"], rtol=0, atol=1e-9)
        counts, fields = padded_fields(names, arrays[f"{part}_fields"].shape[1])
        assert counts == arrays[f"{part}_num_fields"].tolist()
        assert fields == arrays[f"{part}_fields"].tolist()
    lines = arrays["listed_lines"].tolist()
    (root / "set" / "database_images_paths.txt").write_text("\n".join(lines) + "\n")
    listed = Places(None, set="folder", image_dir="set")
    assert listed.names[: listed.database] == [f"database/{line}" for line in lines]
    np.testing.assert_allclose(
        listed.positions[: listed.database], arrays["listed_utm"], rtol=0, atol=1e-9
    )
