"""JSON that holds its table otherwise than row by row: what pandas' `to_json` and `to_dict` write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from automl.data.formats.delimited import column_names, distinct_names, names_columns
from automl.data.part_names import part_of
from automl.errors import DataError

_BEGINNING = re.compile(rb'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*[\[{]')
_HEAD_BYTES = 1 << 16
_KEY = "key"


def read_turned(data: pa.Buffer, path: Path) -> tuple[pa.Table, str] | None:
    """The rows of a lone object that holds columns, or rows by their names, and how it does; None for another.

    data: UTF-8, of no great depth. {"text": {"0": ...}, ...} and {"text": [...], ...} hold columns, {"columns":
    [...], "data": [...]} and {"0": {"text": ...}, ...} rows. Raises DataError for an object of splits.
    """
    if not _BEGINNING.match(data[:_HEAD_BYTES].to_pybytes()) or not _is_lone(data):
        return None
    try:
        value = json.loads(data.to_pybytes())
    except (ValueError, RecursionError):
        return None
    if _is_split(value):
        names = distinct_names(list(map(str, value["columns"])))
        return _from_columns(names, list(zip(*value["data"], strict=True))), "JSON (columns and data)"
    inner = list(value.values())
    if len(inner) > 1 and all(isinstance(each, dict) and each for each in inner):
        return _from_mappings(value)
    _refuse_splits(value, path)
    lists = all(isinstance(each, list) and not any(isinstance(cell, dict) for cell in each) for each in inner)
    # in a file of lines, lists of one length may be the tokens and tags of its only row
    if path.suffix.lower() == ".json" and len(inner) > 1 and lists and len(set(map(len, inner))) == 1 and inner[0]:
        return _from_columns(list(value), inner), "JSON (a list for each column)"
    return None


def _is_lone(data: pa.Buffer) -> bool:
    """Whether the first line does not end an object, or no other follows: else the file has an object a line."""
    head = data[:_HEAD_BYTES].to_pybytes()
    first, end, rest = head.partition(b"\n")
    if not end:
        whole = data.to_pybytes()
        first, end, rest = whole.partition(b"\n")
    if not rest.strip():
        return True
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return True
    return False


def _refuse_splits(value: Mapping[str, Any], path: Path) -> None:
    splits = [
        name
        for name, rows in value.items()
        if part_of(name) and isinstance(rows, list) and rows and all(isinstance(row, dict | list) for row in rows)
    ]
    if len(splits) > 1:
        raise DataError(
            f"{path} holds the splits {', '.join(splits)} in one object",
            "a file of rows, or a file for each split",
            f"Write each to a file of its name, such as {splits[0]}.json, into one folder, and name the folder",
        )


def _is_split(value: Mapping[str, Any]) -> bool:
    names, rows = value.get("columns"), value.get("data")
    return (
        isinstance(names, list)
        and isinstance(rows, list)
        and bool(rows)
        and all(isinstance(row, list) and len(row) == len(names) for row in rows)
    )


def _from_mappings(value: Mapping[str, Mapping[str, Any]]) -> tuple[pa.Table, str] | None:
    """Of mappings in a mapping: columns where the inner names count rows, or are more than the outer ones."""
    inner = list(dict.fromkeys(name for each in value.values() for name in each))
    counted = [all(name.isdigit() for name in names) for names in (value, inner)]
    by_column = counted[1] and not counted[0] if counted[0] != counted[1] else len(inner) > len(value)
    alike = all(len(each) == len(inner) for each in value.values())
    if by_column and alike:
        return _from_columns(list(value), [[each[name] for name in inner] for each in value.values()]), (
            "JSON (a mapping for each column)"
        )
    if by_column:
        return None
    columns = [[each.get(name) for each in value.values()] for name in inner]
    if not counted[0]:
        inner, columns = distinct_names([_KEY, *inner]), [list(value), *columns]
    return _from_columns(inner, columns), "JSON (a mapping for each row)"


def read_lists(values: Sequence[Any]) -> pa.Table | None:
    """The table of rows that are lists of one length, the first perhaps of names; None for other rows."""
    if not values or not all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        return None
    texts = all(isinstance(cell, str) for cell in values[0])
    header = (
        bool(values[0]) and texts and len(values) > 1 and names_columns([list(map(str, v)) for v in values[:2000]])
    )
    names = column_names(values[0] if header else [""] * len(values[0]))
    return _from_columns(names, list(zip(*values[int(header) :], strict=True))) if names else None


def _from_columns(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> pa.Table:
    return pa.Table.from_arrays([json_column(list(column)) for column in columns], names=list(names))


def json_column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        plain = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
        return pa.array(plain, pa.string())
