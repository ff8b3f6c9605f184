"""Columns that hold image files themselves: their bytes, alone or as the hub's {bytes, path}, or as base64.

They are written to files named after their content, and all goes on as for a column of paths.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.columns import to_mask
from automl.data.images import ENDINGS
from automl.data.pieces import evenly, pieces, rows_at
from automl.data.rows import Rows
from automl.data.sources import Place
from automl.errors import DataError

HELD = "its values are image files themselves"
_BEGINNINGS = {
    rb"\x89PNG\r\n\x1a\n": ".png", rb"\xff\xd8\xff": ".jpg", rb"GIF8": ".gif", rb"BM....\0\0\0\0": ".bmp",
    rb"RIFF....WEBP": ".webp", rb"II\*\0|MM\0\*": ".tif", rb"\0\0\0\x0cjP  ": ".jp2", rb"....ftypavi[fs]": ".avif",
}  # fmt: skip
_DATA_URI = re.compile(r"\s*data:image/[\w.+-]+;base64,")
_BASE64 = re.compile(r"\s*(data:image/[\w.+-]+;base64,|iVBORw0KGgo|/9j/|R0lGOD|UklGR|SUkqA|TU0AK)")
_SAMPLE_ROWS, _ENOUGH = 20, 0.9


def with_image_files(
    parts: Mapping[str, Rows], image: str | None, text: bool, unpack_in: Path | None
) -> tuple[dict[str, Rows], str | None]:
    """The parts with one column of image files as paths to them, and its name; None where no column is such.

    image: the column that the user named. text: whether columns of text were named, so none of images is needed.
    unpack_in: where the files are to lie; None: they go with the rows. Further columns of the kind stay as bytes.
    """
    train = parts["train"].table
    held = [name for name in train.column_names if holds_image_bytes(train[name], sure=name == image)]
    chosen = image if image in held else next(iter(held), None) if image is None and not text else None
    if not held:
        return dict(parts), None
    place = Place(None if unpack_in is None else unpack_in / "images")
    return {part: _with_files(rows, part, held, chosen, place) for part, rows in parts.items()}, chosen


def _with_files(rows: Rows, part: str, held: list[str], chosen: str | None, place: Place) -> Rows:
    table = rows.table
    for name in held:
        if name in table.column_names and _may_hold(table[name].type):
            column = _written(table[name], part, name, place.path) if name == chosen else _plain_bytes(table[name])
            table = table.set_column(table.column_names.index(name), name, column)
    return replace(rows, table=table, place=(rows.place, place))


def holds_image_bytes(column: pa.ChunkedArray, sure: bool = False) -> bool:
    """Whether nearly all of a column's values hold an image file, or name one as the hub's images may.

    sure: where the user says so, a column that could hold them is enough; text has to hold one at least.
    """
    if not _may_hold(column.type):
        return False
    enough = _ENOUGH if not sure else 1e-9 if pa.types.is_string(column.type) else 0.0
    there = np.flatnonzero(to_mask(pc.is_valid(column)))
    sample = rows_at(column, there[evenly(len(there), _SAMPLE_ROWS)]).to_pylist() if len(there) else []
    return bool(sample) and sum(map(_is_image, sample)) >= enough * len(sample)


def _may_hold(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        return "bytes" in {field.name for field in kind}
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_string(kind))


def _is_image(value: Any) -> bool:
    data, path = _opened(value)
    if data is not None:
        return _BASE64.match(data) is not None if isinstance(data, str) else _ending(data) is not None
    return path is not None and Path(path).suffix.lower() in ENDINGS


def _opened(value: Any) -> tuple[bytes | str | None, str | None]:
    """An image's bytes, or its text in base64, and the path that the hub's form has beside them."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, Mapping):
        return value.get("bytes"), value.get("path")
    return value, None


def _ending(data: bytes) -> str | None:
    """The ending of the image format that bytes begin as; None where they are no image."""
    return next((ending for beginning, ending in _BEGINNINGS.items() if re.match(beginning, data, re.S)), None)


def _written(column: pa.ChunkedArray, part: str, name: str, folder: Path) -> pa.ChunkedArray:
    """Paths of the images' files, written piece by piece; the paths that stand there of images without bytes."""
    paths: list[str | None] = []
    for piece in pieces(column, f"unpacking {part} images"):
        for value in piece.to_pylist():
            if isinstance(value, list) and len(value) > 1:
                raise DataError(
                    f"column {name!r} holds {len(value)} images in row {len(paths):,} of {part}",
                    "one image in every row",
                    "Write a row for each image, or choose another column with --image",
                )
            data, path = _opened(value)
            paths.append(path or None if data is None else _file_of(_decoded(data), path, folder))
    return pa.chunked_array([pa.array(paths, pa.string())])


def _decoded(data: bytes | str) -> bytes:
    if isinstance(data, bytes):
        return data
    try:
        return base64.b64decode(_DATA_URI.sub("", data, count=1))
    except (binascii.Error, ValueError):
        return data.encode()  # as it is: reading it says that it is no image


def _file_of(data: bytes, path: str | None, folder: Path) -> str:
    digest = hashlib.sha256(data).hexdigest()
    file = folder.absolute() / digest[:2] / (digest + (_ending(data) or Path(path or "").suffix.lower()))
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return str(file)


def _plain_bytes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The bytes of a column of images that is no input, without what stands around them."""
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


def path_beside(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The paths that the hub's form of images has beside their bytes; null where there is none."""
    paths = [_opened(value)[1] for piece in pieces(column) for value in piece.to_pylist()]
    return pa.chunked_array([pa.array(paths, pa.string())])
