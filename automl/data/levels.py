"""Images of more than 8 bits a channel: their values, and which of them are shown as black and as white.

A camera of 12 bits writes files of 16, which by their full range are nearly black. The range is that of all training
images together: by its own range each would lose how bright it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

Levels = tuple[float, float]
"""The value that is black, and the first one beyond white."""
FULL: Levels = (0.0, 65536.0)
"""What files of 16 bits can hold."""
Values = NDArray[Any]
_SINGLE = ("I", "F")
_NATIVE = "B" if sys.byteorder == "little" else "L"
_SWAPPED = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", _NATIVE))
}
"""Pillow keeps the high byte of colours of 16 bits; with the bytes taken the other way round it keeps the low one."""


def has_low_bytes(opened: Image.Image) -> bool:
    """Whether an image that was opened and not decoded yet is in colours of 16 bits."""
    tiles = getattr(opened, "tile", ())
    return bool(tiles) and all(_raw_mode(tile) in _SWAPPED for tile in tiles)


def with_low_bytes(opened: Image.Image) -> Image.Image:
    """The image, for which `has_low_bytes` holds, so that decoding it gives the low bytes of its colours."""
    file: Any = opened
    tiles = []
    for codec, box, offset, args in file.tile:
        other = _SWAPPED[_raw_mode((codec, box, offset, args))]
        tiles.append((codec, box, offset, (other, *args[1:]) if isinstance(args, tuple) else other))
    kind = type(file.tile[0])
    file.tile = [kind(*tile) if hasattr(kind, "_make") else tile for tile in tiles]
    return opened


def _raw_mode(tile: Any) -> str:
    args = tile[3]
    return str(args[0] if isinstance(args, tuple) else args)


def deep_values(picture: Image.Image, low: Image.Image | None) -> Values | None:
    """The values of an image of more than 8 bits a channel, shape (height, width) or (..., 3); None for others.

    low: of an image in colour, the low bytes of its values.
    """
    if low is not None:
        high: Values = np.asarray(picture.convert("RGB")).astype(np.uint16)
        colours: Values = (high << 8) | np.asarray(low.convert("RGB"))
        return colours
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode in _SINGLE:
        return np.asarray(picture)
    return None


def as_bytes(values: Values, levels: Levels) -> NDArray[np.uint8]:
    """Values between the levels as 0 to 255, those beyond at the ends; of 16 whole bits the high byte."""
    black, beyond = levels
    within = np.nan_to_num(np.clip(values.astype(np.float64), black, beyond), nan=black)
    return np.minimum((within - black) * (256 / (beyond - black)), 255).astype(np.uint8)


def range_of(values: Values) -> tuple[float, float, bool]:
    """The lowest and the highest value, and whether all are whole numbers."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 0.0, True
    return float(finite.min()), float(finite.max()), values.dtype.kind in "ui"


def levels_of(ranges: Iterable[tuple[float, float, bool]]) -> Levels | None:
    """The levels that hold all images with these ranges; None where there is none.

    Of whole numbers from 0 on: as many bits as they need, 8 at least. Of fractions: 0 to 1 or 0 to 255 where that
    holds them. Else from the lowest to the highest.
    """
    found = list(ranges)
    if not found:
        return None
    low, high, whole = min(r[0] for r in found), max(r[1] for r in found), all(r[2] for r in found)
    if low >= 0 and (whole or 1 < high <= 255):
        return 0.0, float(2 ** max(8, int(high).bit_length()))
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, high + 1 if whole else max(high, low + 1e-9)


def parse_levels(text: str) -> Levels:
    """The levels that a user named, as LOW:HIGH. Raises DataError where they are none."""
    match = re.fullmatch(r"\s*(-?[\d.]+)\s*:\s*(-?[\d.]+)\s*", text)
    try:
        low, high = map(float, match.groups() if match else ())
    except ValueError:
        low, high = 0.0, 0.0
    if low >= high:
        raise DataError(
            f"--levels {text!r} names no range",
            "LOW:HIGH, the values shown as black and as white, such as 0:4095",
            "Change --levels, or leave it out",
        )
    whole = low.is_integer() and high.is_integer() and high - low > 1
    return low, high + 1 if whole else high


def named_levels(levels: Levels) -> str:
    """As people say them: 0 to 4,095."""
    black, beyond = levels
    whole = black == int(black) and beyond == int(beyond) and beyond - black > 1
    return f"{black:,.0f} to {beyond - 1:,.0f}" if whole else f"{black:,.4g} to {beyond:,.4g}"
