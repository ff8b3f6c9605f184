"""Which column holds images, and the files of all its rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.class_folders import PICTURES
from automl.data.columns import Column, as_text, to_mask
from automl.data.image_bytes import holds_image_bytes, path_beside, with_image_files
from automl.data.image_files import ADDRESS, Found, Index, find_images
from automl.data.images import ENDINGS, UNREAD_ENDINGS
from automl.data.part_words import PART_NAMES
from automl.data.pieces import evenly, rows_at
from automl.data.rows import Rows
from automl.data.sources import Place
from automl.errors import DataError
from automl.pages.page import cut
from automl.types import Finding

_SAMPLE_ROWS = 50
_ENOUGH = 0.9
_ENDS_AS_IMAGE = r"\.(" + "|".join(ending[1:] for ending in (*ENDINGS, *UNREAD_ENDINGS)) + r")\s*$"


@dataclass(frozen=True, kw_only=True)
class ImageColumn:
    """The column of images and why it is taken for that. indexes: of the folders that were looked through for it."""

    name: str
    reason: str
    indexes: Mapping[Path, Index]


def folder_of(rows: Rows) -> Path:
    """The folder that a table's relative paths count from."""
    return (rows.folder or Path(rows.read_as.source.partition(" [")[0]).parent).expanduser().absolute()


def guess_image(parts: Mapping[str, Rows], columns: Sequence[Column], target: str | None) -> ImageColumn | None:
    """The first column whose values lead to image files.

    Values that end as image files do are enough. Others are, where each leads to a file of its own and no column
    holds text. Where nothing else could be learnt from, a column of image files' names is taken though they are gone.
    """
    train = parts["train"]
    folder, own = folder_of(train), _own_folders("train", train, alone=len(parts) == 1)
    index = Index(folder)
    samples = {c.name: _sample_of(train.table[c.name]) for c in columns if c.name != target}
    named = {name: sample for name, sample in samples.items() if sample is not None and _names_images(sample)}
    for name, sample in named.items():
        if _lead_to_files(sample, folder, own, index):
            return ImageColumn(name=name, reason="its values are image files that are there", indexes={folder: index})
    if any(column.kind == "text" and column.name not in (*named, target) for column in columns):
        return None
    for name in named:
        return ImageColumn(name=name, reason="its values are names of image files", indexes={folder: index})
    for name, sample in samples.items():
        if sample is not None and _all_differ(sample) and _lead_to_files(sample, folder, own, index):
            return ImageColumn(
                name=name, reason="image files of these names lie beside the table", indexes={folder: index}
            )
    return None


def _sample_of(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Some values from the first to the last, as text; None where none could be a name."""
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return None
    there = np.flatnonzero(to_mask(pc.is_valid(column)))
    return as_text(rows_at(column, there[evenly(len(there), _SAMPLE_ROWS)])) if len(there) else None


def _names_images(sample: pa.ChunkedArray) -> bool:
    named = pc.match_substring_regex(pc.utf8_lower(sample), _ENDS_AS_IMAGE)
    return bool(pc.mean(named.cast(pa.float64())).as_py() >= _ENOUGH)


def _all_differ(sample: pa.ChunkedArray) -> bool:
    return len(sample) > 1 and len(sample.unique()) >= _ENOUGH * len(sample)


def _lead_to_files(sample: pa.ChunkedArray, folder: Path, own: set[str], index: Index) -> bool:
    found = find_images(sample, folder, own, index)
    return len(sample) - len(found.missing) >= _ENOUGH * len(sample)


@dataclass(frozen=True, kw_only=True)
class Located:
    """Parts whose column of images holds absolute paths.

    missing: by part, why rows have no file. reason: why it is that column, and how many were found by name.
    """

    parts: dict[str, Rows]
    missing: dict[str, dict[int, str]]
    findings: list[Finding]
    reason: str


def locate_images(parts: Mapping[str, Rows], column: ImageColumn) -> Located:
    """The files that all images lie in. Raises DataError where not one of the training files is there."""
    located: dict[str, Rows] = {}
    missing: dict[str, dict[int, str]] = {}
    findings, reason = [], column.reason
    indexes = dict(column.indexes)
    for part, rows in parts.items():
        if column.name not in rows.table.column_names:
            located[part], missing[part] = rows, {}  # whoever needs the column says that it is not there
            continue
        folder = folder_of(rows)
        index = indexes.setdefault(folder, Index(folder))
        values = rows.table[column.name]
        found = find_images(values, folder, _own_folders(part, rows, alone=len(parts) == 1), index)
        if part == "train":
            _refuse_missing(column.name, values, found, index)
        if found.by_name:
            findings.append(_by_name(part, column.name, found))
            reason += f"; {part}: {found.by_name:,} of {len(values):,} found by name below {folder}"
        place = rows.table.column_names.index(column.name)
        located[part] = replace(rows, table=rows.table.set_column(place, column.name, found.paths))
        missing[part] = found.missing
    return Located(parts=located, missing=missing, findings=findings, reason=reason)


def located_images(rows: Rows, column: str) -> tuple[Rows, dict[int, str]]:
    """New rows with absolute paths in the column of images that a model reads; and why rows have no file.

    Images in a folder, or named alone, are that column whatever it was called in training.
    Raises DataError where none of the files is there.
    """
    if column not in rows.table.column_names and rows.table.column_names[:1] == [PICTURES.column]:
        rows = replace(rows, table=rows.table.rename_columns([column, *rows.table.column_names[1:]]))
    if column not in rows.table.column_names:
        return rows, {}  # whoever needs the column says that it is not there
    parts, _ = with_image_files({"train": rows}, column, text=False, unpack_in=None)
    located = locate_images(parts, ImageColumn(name=column, reason="", indexes={}))
    return located.parts["train"], located.missing["train"]


def printed_inputs(rows: Rows, images: str, as_bytes: bool) -> pa.Table:
    """The rows as people read them again: files out of an archive by their places in it, images by their names.

    images: the column of images. as_bytes: whether images that lie in the table itself are to stay.
    """
    table = rows.table
    for name in table.column_names:
        column = table[name]
        if pa.types.is_string(column.type) and isinstance(rows.place, Place):
            inside = re.escape(str(rows.place.path.absolute())) + r"/unpacked-\d+/"
            column = pc.replace_substring_regex(column, f"^{inside}", "")
        elif not as_bytes and not pa.types.is_string(column.type) and holds_image_bytes(column, sure=name == images):
            column = path_beside(column)
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _own_folders(part: str, rows: Rows, alone: bool) -> set[str]:
    """Names of folders that a part's images are likely to lie in: that of its file, and those of parts."""
    stem = Path(rows.read_as.source.partition(" [")[0]).stem
    return {stem} if alone else {stem, *PART_NAMES.get(part, ())}


def _by_name(part: str, column: str, found: Found) -> Finding:
    return Finding(
        kind="found_by_name",
        severity="note",
        count=found.by_name,
        what=f"{part}: {found.sentence(column)}",
        suggestion="read; write paths into the column where other files are meant",
        part=part,
    )


def _refuse_missing(column: str, values: pa.ChunkedArray, found: Found, index: Index) -> None:
    first = next((text for text in as_text(values.slice(0, _SAMPLE_ROWS)).to_pylist() if text), "")
    if len(found.missing) < len(values):
        return
    if re.match(ADDRESS, first.strip()):
        raise DataError(
            f"column {column!r} holds addresses of images, such as {cut(first, 120)}",
            "files on this machine: nothing is downloaded that a run would then depend on",
            "Download the images, and lay them beside the table under the same names",
        )
    row, reason = next(iter(found.missing.items()))
    named = cut(as_text(values.slice(row, 1))[0].as_py(), 120)
    held = "no image file lies there"
    if index.size:
        held = f"{index.size:,} image files lie there, such as {', '.join(index.examples())}"
    limit = "" if index.complete else " (there are too many files to look at them all)"
    raise DataError(
        f"none of the {len(values):,} images that column {column!r} names is there, the first: {named!r} ({reason})",
        f"paths that count from {found.folder}, or names of files below it; {held}{limit}",
        "Lay the images beside the table, or write their paths into the column",
    )
