"""Picture files: whether they can be decoded, what they really are, and what tells two of them apart.

Pillow decodes them, and no format that would start another program (EPS) is among those it is offered.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.levels import FULL, Levels, as_bytes, deep_values, has_low_bytes, range_of, with_low_bytes
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
_ONE_COLOUR = 8
"""Of 255 steps: nobody sees a shape in colours that are no further apart."""
_CONVERT = ", which is not read here; convert it to PNG or JPEG"
_UNREAD = (
    (rb"....ftyp(heic|heix|hevc|mif1|msf1|heim|heis)", "HEIC, as phones write it" + _CONVERT),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg\b", "SVG, a drawing" + _CONVERT),
    (rb".{128}DICM", "DICOM" + _CONVERT),
    (rb"8BPS", "a PSD of Photoshop" + _CONVERT),
    (rb"%PDF", "PDF" + _CONVERT),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL" + _CONVERT),
    (rb"\s*<(!DOCTYPE html|html)", "a web page, in the place of the image that was to be downloaded"),
    (rb"version https://git-lfs", "a pointer of Git LFS; fetch the images with git lfs pull"),
)
"""What files begin with that are often taken for images, or stand in their place."""
_MINIATURE = 16
_THREADS = 8


class Undecodable(Exception):
    """Why a file is no picture that can be used."""


@dataclass(frozen=True)
class Look:
    """What one file holds. pixels, content: digests of the RGB picture and of the bytes, empty when broken.

    problem: why it cannot be decoded. format: Pillow's name for what it is. miniature: 16 x 16 grey values.
    width, height: in pixels, as the picture is meant to be seen. values: as `range_of`, where these
    have more than 8 bits. shaped: its shape is in the alpha channel alone. moving: it has further frames. colour: how
    far its channels are apart, of 255 steps.
    """

    pixels: str = ""
    content: str = ""
    format: str = ""
    problem: str | None = None
    miniature: bytes = b""
    width: int = 0
    height: int = 0
    values: tuple[float, float, bool] | None = None
    shaped: bool = False
    moving: bool = False
    colour: float = 0.0


@dataclass(frozen=True)
class Decoded:
    """An image in RGB as it is meant to be seen; the rest as in Look."""

    picture: Image.Image
    format: str
    values: tuple[float, float, bool] | None = None
    shaped: bool = False
    moving: bool = False


def decode(data: bytes, levels: Levels | None = None) -> Decoded:
    """What an image file shows. Raises Undecodable.

    As transformers' pipelines read it: the first frame, turned as its EXIF says, alpha dropped. Otherwise than there
    a shape that lies in the alpha channel alone is laid on a ground, and values of more than 8 bits are those between
    the levels, by default all that 16 bits hold.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise Undecodable(f"it decodes to {width:,} x {height:,} pixels, over the limit of {MOST_PIXELS:,}")
            name = "JPEG" if picture.format == "MPO" else str(picture.format)
            moving = name != "JPEG" and bool(getattr(picture, "is_animated", False))
            low = None
            if has_low_bytes(picture):
                low = ImageOps.exif_transpose(with_low_bytes(Image.open(io.BytesIO(data), formats=_formats())))
            upright: Any = ImageOps.exif_transpose(picture)
            values = deep_values(upright, low)
            if values is not None:
                shown = Image.fromarray(as_bytes(values, levels or FULL)).convert("RGB")
                return Decoded(shown, name, range_of(values), moving=moving)
            shown, shaped = _without_alpha(upright)
            return Decoded(shown, name, shaped=shaped, moving=moving)
    except Undecodable:
        raise
    except Exception as error:  # each format's decoder raises kinds of its own for what it cannot read
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Undecodable(_no_image(data) if "cannot identify" in reason else reason) from None


def _without_alpha(picture: Image.Image) -> tuple[Image.Image, bool]:
    """The picture in RGB; where its colour is one, and alpha alone draws, on white, or on black if that is light."""
    from PIL import Image

    plain = picture.convert("RGB")
    if picture.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in picture.info:
        return plain, False
    spread: Any = plain.getextrema()
    if any(most - least > _ONE_COLOUR for least, most in spread):
        return plain, False
    alpha = picture.convert("RGBA").getchannel("A")
    if len(set(alpha.getextrema())) == 1:
        return plain, False
    light = sum(most for _, most in spread) > 3 * 127
    ground = Image.new("RGB", plain.size, "black" if light else "white")
    ground.paste(plain, mask=alpha)
    return ground, True


def _no_image(data: bytes) -> str:
    """What bytes are that no decoder knows."""
    other = next((name for pattern, name in _UNREAD if re.match(pattern, data, re.S)), None)
    if other is not None:
        return f"it is {other}"
    return "it is none of " + ", ".join(FORMATS)


@lru_cache
def _formats() -> tuple[str, ...]:
    """Those formats of ours that Pillow can decode as it is installed."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


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


def read_rgb(path: str, levels: Levels | None = None) -> Image.Image:
    """The picture of a file in RGB; levels as in `decode`. Raises DataError where there is none."""
    try:
        with _quiet():
            return decode(_read(path), levels).picture
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
        with _quiet(), Image.open(path, formats=_formats()) as picture:
            turned = picture.getexif().get(_ORIENTATION, 1) in _TURNED
            return (picture.height, picture.width) if turned else (picture.width, picture.height)
    except Exception:  # each format's decoder raises kinds of its own for what it cannot read
        return None


def look_at(path: str | None, levels: Levels | None = None) -> Look:
    """What the file holds; levels as in `decode`; never raises."""
    if not path:
        return Look(problem="there is no path")
    try:
        data = _read(path)
        found = decode(data, levels)
    except Undecodable as problem:
        return Look(problem=str(problem))
    picture = found.picture
    colours = np.asarray(picture.resize((_MINIATURE, _MINIATURE), reducing_gap=2.0), np.int16)
    return Look(
        pixels=hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest(),
        content=hashlib.sha256(data).hexdigest(),
        format=found.format,
        miniature=picture.convert("L").resize((_MINIATURE, _MINIATURE), reducing_gap=2.0).tobytes(),
        width=picture.width,
        height=picture.height,
        values=found.values,
        shaped=found.shaped,
        moving=found.moving,
        colour=float((colours.max(axis=2) - colours.min(axis=2)).mean()),
    )


def look_at_all(paths: Sequence[str | None], levels: Levels | None = None) -> list[Look]:
    """Each file decoded once, on as many threads as there are cores (Pillow decodes beside Python)."""
    with _quiet(), ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(partial(look_at, levels=levels), paths))


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns of large and odd files on standard error; here they are findings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def thumbnail(
    path: str, pixels: int = 96, boxes: Sequence[Mapping[str, Any]] = (), levels: Levels | None = None
) -> str | None:
    """The picture as a data URI of so many pixels at most on a side; None where it cannot be shown.

    boxes: drawn on it, by their edges `xmin`, `ymin`, `xmax` and `ymax` in pixels of the whole picture. levels: as in
    `decode`.
    """
    from PIL import ImageDraw

    try:
        with _quiet():
            small = decode(_read(path), levels).picture
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
