"""Picture files: whether they can be decoded, what they really are, and what tells two of them apart.

Pillow decodes them, and no format that would start another program (EPS) is among those it is offered.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".gif": "GIF", ".bmp": "BMP", ".webp": "WEBP",
    ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM", ".jfif": "JPEG",
    ".jpe": "JPEG", ".avif": "AVIF", ".jp2": "JPEG2000",
}  # fmt: skip
UNREAD_ENDINGS = {".heic": "HEIC", ".heif": "HEIF", ".jxl": "JPEG XL", ".svg": "SVG", ".dcm": "DICOM", ".psd": "PSD"}
"""Images too, but no decoder of theirs is here."""
PHOTO_ENDINGS = (*ENDINGS, ".heic", ".heif", ".jxl", ".dcm")
"""Those of files that are inputs wherever they lie; other images may be sources that the inputs were made of."""
FORMATS = tuple(dict.fromkeys(ENDINGS.values()))
MOST_PIXELS = 89_478_485
"""Pillow's own limit: a quarter of a gigabyte in RGB. A small file can decode to much more (a decompression bomb)."""
MOST_BYTES = 1 << 29
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF: these stand on a side
_SAMPLE_ROWS = 50
_MINIATURE = 16
_THREADS = 8


class Undecodable(Exception):
    """Why a file is no picture that can be used."""


@dataclass(frozen=True)
class Look:
    """What one file holds. pixels, content: digests of the RGB picture and of the bytes, empty when broken.

    problem: why it cannot be decoded. format: Pillow's name for what it is. miniature: 16 x 16 grey values.
    width, height: in pixels, as the picture is meant to be seen.
    """

    pixels: str = ""
    content: str = ""
    format: str = ""
    problem: str | None = None
    miniature: bytes = b""
    width: int = 0
    height: int = 0


def decode(data: bytes) -> tuple[Image.Image, str]:
    """A picture in RGB as it is meant to be seen, and its format. Raises Undecodable.

    As transformers' pipelines read it: turned as its EXIF says, alpha dropped; 16-bit grey is scaled, not cut off.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise Undecodable(f"it decodes to {width:,} x {height:,} pixels, over the limit of {MOST_PIXELS:,}")
            name = str(picture.format)
            upright: Any = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I;16"):
                upright = Image.fromarray((np.asarray(upright).astype(np.uint16) >> 8).astype(np.uint8))
            return upright.convert("RGB"), name
    except Undecodable:
        raise
    except Exception as error:  # each format's decoder raises kinds of its own for what it cannot read
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Undecodable("it is none of " + ", ".join(FORMATS) if "cannot identify" in reason else reason) from None


def _read(path: str) -> bytes:
    try:
        size = os.stat(path).st_size
        if size > MOST_BYTES:
            raise Undecodable(f"it has {size:,} bytes, over the limit of {MOST_BYTES:,}")
        data = Path(path).read_bytes()
    except OSError as error:
        raise Undecodable(error.strerror or str(error)) from None
    if not data:
        raise Undecodable("it is empty (0 bytes)")
    return data


def read_rgb(path: str) -> Image.Image:
    """The picture of a file in RGB. Raises DataError where there is none."""
    try:
        with _quiet():
            return decode(_read(path))[0]
    except Undecodable as problem:
        raise DataError(
            f"{path or 'a row without a path'} cannot be read as a picture: {problem}",
            f"a whole {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file",
            "Replace the file, or leave its row out",
        ) from None


def picture_size(path: str) -> tuple[int, int] | None:
    """Width and height as the picture is meant to be seen, by the head of its file; None where there is none."""
    from PIL import Image

    try:
        with _quiet(), Image.open(path, formats=FORMATS) as picture:
            turned = picture.getexif().get(_ORIENTATION, 1) in _TURNED
            return (picture.height, picture.width) if turned else (picture.width, picture.height)
    except Exception:  # each format's decoder raises kinds of its own for what it cannot read
        return None


def look_at(path: str | None) -> Look:
    """What the file holds; never raises."""
    if not path:
        return Look(problem="there is no path")
    try:
        data = _read(path)
        picture, name = decode(data)
    except Undecodable as problem:
        return Look(problem=str(problem))
    pixels = hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()
    small = picture.convert("L").resize((_MINIATURE, _MINIATURE), reducing_gap=2.0).tobytes()
    content = hashlib.sha256(data).hexdigest()
    width, height = picture.size
    return Look(pixels=pixels, content=content, format=name, miniature=small, width=width, height=height)


def look_at_all(paths: Sequence[str | None]) -> list[Look]:
    """Each file decoded once, on as many threads as there are cores (Pillow decodes beside Python)."""
    with _quiet(), ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(look_at, paths))


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns of large and odd files on standard error; here they are findings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def thumbnail(path: str, pixels: int = 96, boxes: Sequence[Mapping[str, Any]] = ()) -> str | None:
    """The picture as a data URI of so many pixels at most on a side; None where it cannot be shown.

    boxes: drawn on it, by their edges `xmin`, `ymin`, `xmax` and `ymax` in pixels of the whole picture.
    """
    from PIL import ImageDraw

    try:
        with _quiet():
            small = decode(_read(path))[0]
    except Undecodable:
        return None
    whole = small.width
    small.thumbnail((pixels, pixels))
    draw, scale = ImageDraw.Draw(small), small.width / whole
    for box in boxes:
        (left, right), (top, bottom) = (sorted((box[f"{a}min"] * scale, box[f"{a}max"] * scale)) for a in "xy")
        draw.rectangle((left, top, right, bottom), outline=(255, 64, 32))
    return data_uri(small)


def data_uri(picture: Image.Image) -> str:
    """A PNG of the picture that a page can hold in itself."""
    room = io.BytesIO()
    picture.save(room, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(room.getvalue()).decode("ascii")
