"""Several files of the same columns as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from automl.data.rows import ReadOptions, Rows
from automl.data.sources import read_any
from automl.errors import DataError


def read_joined(files: Sequence[Path], shown: str, options: ReadOptions) -> Rows:
    """The rows of all files, one after the other. shown: what the user knows them by.

    Raises DataError where one cannot be read or has other columns than the first.
    """
    read = [read_any(file, options) for file in files]
    first = read[0]
    if len(read) == 1:
        return first
    for rows in read[1:]:
        _refuse_other_columns(first, rows)
    try:
        tables = [rows.table.select(first.table.column_names) for rows in read]
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"the {len(files)} files of {shown} hold values of different types: {reason}",
            "columns of one type in all of them",
            "Name one file, or write them all in the same way",
        ) from None
    skipped, start = [], 0
    for rows in read:
        skipped += [start + row for row in rows.read_as.skipped_rows]
        start += rows.table.num_rows + len(rows.read_as.skipped_rows)
    read_as = replace(first.read_as, source=shown, rows=table.num_rows, files=len(files), skipped_rows=tuple(skipped))
    return replace(first, table=table, read_as=read_as)


def _refuse_other_columns(first: Rows, rows: Rows) -> None:
    wanted, found = first.table.column_names, rows.table.column_names
    if set(wanted) != set(found):
        raise DataError(
            f"{rows.read_as.source} has the columns {', '.join(found[:20])}",
            f"those of {first.read_as.source}: {', '.join(wanted[:20])}",
            "Name files with the same columns; where one has no first row of names, say --header no",
        )
