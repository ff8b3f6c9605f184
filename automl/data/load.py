"""Any supported source as Arrow tables, with a record of how it was read."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from automl.data.class_folders import read_image_files
from automl.data.folders import read_folder
from automl.data.formats.base import endings, read_file
from automl.data.hugging_face import is_hub_name, name_parts, read_hub
from automl.data.in_memory import held_parts
from automl.data.joined import read_joined
from automl.data.mapped import settled
from automl.data.rows import ReadAs, ReadOptions, Rows
from automl.data.sources import Local, bring
from automl.errors import DataError

AS_FOUND = ReadOptions()


def read_rows(source: str, options: ReadOptions = AS_FOUND) -> tuple[pa.Table, ReadAs]:
    """The one table of a source. Raises DataError when it cannot be read or holds several splits."""
    rows = one_table(source, options)
    return rows.table, rows.read_as


def one_table(source: str, options: ReadOptions = AS_FOUND, unpack_in: Path | None = None) -> Rows:
    """The same as Rows."""
    return only_table(load(source, options, unpack_in), source)


def only_table(parts: Mapping[str, Rows], source: str) -> Rows:
    """The rows of the one part that there is. Raises DataError where there are several."""
    if len(parts) > 1:
        raise DataError(
            f"{source} holds {len(parts)} splits ({', '.join(parts)})", "one table", "Name one of its files"
        )
    return next(iter(parts.values()))


def load(source: str, options: ReadOptions = AS_FOUND, unpack_in: Path | None = None) -> dict[str, Rows]:
    """The tables of a source by part: `train`, with `validation` and `test` where it has them.

    source: a file of any format in formats/, compressed or not; a pattern such as 'data/*.csv'; a folder with
    train/validation/test files, or of pictures or texts for each class (or such folders in train, validation and
    test); a zip or tar of these; a URL of these that fsspec knows; a saved Hugging Face dataset, or a hub name.
    unpack_in: a folder for what comes out of an archive or a URL; without one it lives as long as the rows do.
    Raises DataError when nothing can be read.
    """
    local = bring(source, unpack_in)
    try:
        parts = _read(local, source, options)
        for part, rows in parts.items():
            _refuse_empty(rows, part)
    except DataError as error:
        if local.place is None:
            raise
        raise local.told(error) from None
    return {part: local.named(replace(rows, table=settled(rows.table))) for part, rows in parts.items()}


def _read(local: Local, source: str, options: ReadOptions) -> dict[str, Rows]:
    path = local.path
    if path.is_dir():
        return read_folder(path, options)
    if path.is_file():
        return _read_images([path], source) or {"train": read_file(path, options)}
    if path.exists():
        raise DataError(f"{source} is neither a file nor a folder", "a file of rows", "Check the path")
    if any(mark in source for mark in "*?["):
        files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if os.path.isfile(name)]
        if files:
            return _read_images(files, source) or {"train": read_joined(files, source, options)}
        raise DataError(f"no file is called {source}", "a pattern that fits at least one file", "Check the pattern")
    if path.suffix.lower() not in endings() and is_hub_name(source):
        return name_parts(read_hub(source), source, "hub dataset")
    raise _not_found(source, path)


def _read_images(files: Sequence[Path], source: str) -> dict[str, Rows]:
    """A row for each file where all are images; else nothing."""
    table = read_image_files(files)
    return {"train": Rows.of(table, source, format="image files")} if table.num_rows else {}


def load_parts(
    source: str,
    validation: str | None = None,
    test: str | None = None,
    options: ReadOptions = AS_FOUND,
    unpack_in: Path | None = None,
    held: Mapping[str, object] = MappingProxyType({}),
) -> dict[str, Rows]:
    """A source's parts, with given validation and test files in the place of its own.

    held: data in memory in the place of a path, by the part that it is given for.
    Raises DataError that tells of every file that cannot be read.
    """
    parts: dict[str, Rows] = {}
    problems: list[DataError] = []
    for part, name in (("train", source), ("validation", validation), ("test", test)):
        if name is None:
            continue
        place = None if unpack_in is None else unpack_in / part
        try:
            if part == "train":
                parts = held_parts(held[part], "the data") if part in held else load(name, options, place)
            elif part in held:
                parts[part] = only_table(held_parts(held[part], f"--{part}"), name)
            else:
                # an option is for the source's format; files of the same ending are taken to be alike
                alike = Path(name).suffix == Path(source).suffix
                parts[part] = one_table(name, options if alike else AS_FOUND, place)
                _refuse_skipped(parts[part], part)
        except DataError as error:
            problems.append(error)
    raise_all(problems)
    return {part: parts[part] for part in ("train", "validation", "test") if part in parts}


def raise_all(problems: Sequence[DataError]) -> None:
    """Raise one error as it is, several as one that lists them all; none does nothing."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        listed = " ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
        raise DataError(
            f"{len(problems)} things are wrong with the data: {listed}",
            "",
            "Mend them all and run again",
            several=problems,
        )


def _refuse_skipped(rows: Rows, part: str) -> None:
    skipped = rows.read_as.skipped_rows
    if skipped:
        raise DataError(
            f"{len(skipped):,} rows of {rows.read_as.source} cannot be read, first row {skipped[0]:,}",
            f"a {part} file in which every row can be read, for none of its rows is ever left out",
            "Mend these rows",
        )


def _not_found(source: str, path: Path) -> DataError:
    folder = path.parent
    if not folder.is_dir():
        return DataError(f"no such file: {source}", f"a folder {folder} to look in", "Check the path")
    near = difflib.get_close_matches(path.name, sorted(os.listdir(folder))[:10_000], n=1)
    hint = f"Did you mean {folder / near[0]}?" if near else "Check the path"
    return DataError(f"no such file: {source}", "a file, a saved dataset, or a dataset's name on the hub", hint)


def _refuse_empty(rows: Rows, part: str) -> None:
    if rows.table.num_rows == 0 or rows.table.num_columns == 0:
        names = ", ".join(rows.table.column_names[:20])
        raise DataError(
            f"{rows.read_as.source} has no rows" + (f", only the header {names}" if names else ""),
            "a header and at least one row",
            "Check the file",
        )
