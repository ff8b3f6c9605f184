"""Rows and records written to files, piece by piece."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as parquet

from automl.data.pieces import PIECE_ROWS
from automl.errors import DataError

WRITABLE = (".csv", ".tsv", ".jsonl", ".parquet")


def check_writable(path: Path) -> None:
    """Raises DataError where rows could not be written to a file of this name: before the work, not after it."""
    ending = path.suffix.lower()
    if ending not in WRITABLE:
        raise DataError(
            f"{path} ends in {ending!r}" if ending else f"{path} has no ending",
            f"one of {', '.join(WRITABLE)}",
            "Choose another name for the output",
        )
    if path.is_dir():
        raise DataError(f"{path} is a folder", "the name of a file", "Choose another name for the output")
    there = next(folder for folder in (path.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise DataError(
            f"{path} cannot be written: {there} " + ("may not be written to" if there.is_dir() else "is a file"),
            "a folder that may be written to",
            "Choose another name for the output",
        )


def write_rows(rows: pa.Table | Iterable[pa.Table], path: Path | str) -> None:
    """The rows in a file, its format by the ending; never half a file.

    rows: one table, or pieces of it, at least one. Raises DataError for another ending.
    """
    path = Path(path)
    check_writable(path)
    ending = path.suffix.lower()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    pieces = _pieces(rows)
    first = next(pieces)
    try:
        if ending == ".jsonl":
            with part.open("w", encoding="utf-8") as file:
                for piece in chain([first], pieces):
                    for batch in piece.to_batches(max_chunksize=10_000):
                        file.writelines(
                            json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in batch.to_pylist()
                        )
        else:
            flat = ending != ".parquet"
            first = _flattened(first) if flat else first
            with _writer(part, first.schema, ending) as writer:
                writer.write_table(first)
                for piece in pieces:
                    writer.write_table(_flattened(piece) if flat else piece)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _pieces(rows: pa.Table | Iterable[pa.Table]) -> Iterator[pa.Table]:
    return iter([rows] if isinstance(rows, pa.Table) else rows)


def _flattened(table: pa.Table) -> pa.Table:
    """The table as a file of plain cells can hold it: lists, structs and maps as JSON."""
    for place, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            values = [
                None if value is None else json.dumps(value, ensure_ascii=False, default=str)
                for value in table.column(place).to_pylist()
            ]
            table = table.set_column(place, field.name, pa.array(values, pa.string()))
    return table


def _writer(path: Path, schema: pa.Schema, ending: str) -> Any:
    if ending == ".parquet":
        return parquet.ParquetWriter(path, schema)
    options = pacsv.WriteOptions(delimiter="\t" if ending == ".tsv" else ",", quoting_style="needed")
    return pacsv.CSVWriter(path, schema, write_options=options)


def write_arrow(path: Path, rows: pa.Table | Iterable[pa.Table]) -> None:
    """A part's rows as `read_part` reads them. rows: one table, or pieces of it, at least one."""
    pieces = _pieces(rows)
    first = next(pieces)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, first.schema) as writer:
        for piece in chain([first], pieces):
            writer.write_table(piece)


def write_json(path: Path, value: Any) -> None:
    """What `json.dumps` makes of a value, without ever holding it whole: numbers of all rows take much."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_spelled(value))


def _spelled(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for place, (name, inner) in enumerate(value.items()):
            yield f"{', ' if place else ''}{json.dumps(name, ensure_ascii=False)}: "
            yield from _spelled(inner)
        yield "}"
    elif isinstance(value, list | tuple) and len(value) > PIECE_ROWS:
        yield "["
        for start in range(0, len(value), PIECE_ROWS):
            listed = json.dumps(value[start : start + PIECE_ROWS], ensure_ascii=False)
            yield (", " if start else "") + listed[1:-1]
        yield "]"
    else:
        yield json.dumps(value, ensure_ascii=False)
