"""Pictures made on the spot: a coloured shape on a noisy ground, its kind the class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "square", "bar")


def picture(kind: str, seed: int, size: int = 32) -> Image.Image:
    """A bright shape of that kind, its place, size and ground from the seed."""
    generator = np.random.default_rng([seed, CLASSES.index(kind)])
    ground = generator.integers(0, 70, size=(size, size, 3), dtype=np.uint8)
    image = Image.fromarray(ground)
    draw = ImageDraw.Draw(image)
    half = int(generator.integers(6, 10))
    x, y = (int(v) for v in generator.integers(half + 1, size - half - 1, size=2))
    colour = {"circle": (230, 60, 40), "square": (50, 210, 70), "bar": (60, 90, 240)}[kind]
    if kind == "circle":
        draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)
    elif kind == "square":
        draw.rectangle((x - half, y - half, x + half, y + half), fill=colour)
    else:
        draw.rectangle((x - 2, 0, x + 2, size), fill=colour)
    return image


def write_pictures(folder: Path, each: int, start: int = 0, classes: tuple[str, ...] = CLASSES) -> Path:
    """`each` different pictures of each class in class folders, as PNG."""
    for kind in classes:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(start, start + each):
            picture(kind, number).save(folder / kind / f"{number:03}.png")
    return folder
