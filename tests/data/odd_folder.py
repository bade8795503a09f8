"""A folder of images as people have them: what is listed of it, and much that is not."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

FLAT = ["B.PNG", "a.jpg", "b.Tiff", "c.webp", "d.tif", "e.bmp", "f.ppm", "link.jpeg"]
GREY = "g.pgm"
BELOW = ["linked/far/deep.png", "linked/l.bmp", "named.jpg/inside.webp", "sub/s.png"]


def odd_folder(folder: Path) -> Path:
    """Make the folder, and beside it (``elsewhere``) what its links lead to."""
    elsewhere = folder.parent / "elsewhere"
    for name in ("linked/far/deep.png", "linked/l.bmp", "target.png"):
        _draw(elsewhere / name)
    for name in (*FLAT[:-1], "named.jpg/inside.webp", "sub/s.png"):
        _draw(folder / name)
    Image.fromarray(np.full((24, 32), 99, np.uint8)).save(folder / GREY)
    for name in (".hidden/h.jpg", "sub/.hidden/h.jpg"):
        _draw(folder / name)
    for name in ("._a.jpg", ".DS_Store", "notes.txt", "jpg", "sub/._s.png"):
        (folder / name).write_bytes(b"Mac OS X")
    os.symlink(elsewhere / "target.png", folder / "link.jpeg")
    os.symlink(elsewhere / "linked", folder / "linked")
    os.symlink("..", folder / "sub" / "back")
    os.symlink(folder, elsewhere / "linked" / "far" / "round")
    return folder


def _draw(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (24, 32, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)
