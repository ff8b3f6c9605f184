"""JSON lines, or one JSON list, as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pajson

from automl.data.encoding import read_text
from automl.data.formats.base import Format
from automl.data.rows import ReadOptions, Rows
from automl.errors import DataError

_WRAPPERS = ("data", "rows", "examples", "instances", "records", "items", "results")


class Json(Format):
    """JSON lines, a list of objects, or an object that holds one such list."""

    name = "JSON"
    endings = (".jsonl", ".ndjson", ".json")
    takes = ("encoding",)

    def claims(self, head: bytes) -> bool:
        return head.lstrip()[:1] in (b"{", b"[")

    def read(self, path: Path, options: ReadOptions) -> Rows:
        data, encoding, mark = read_text(path, options.encoding)
        table, name = read_json(data, path)
        return Rows.of(table, path, format=name, encoding=encoding, byte_order_mark=mark)


def read_json(data: pa.Buffer, path: Path) -> tuple[pa.Table, str]:
    """The objects as rows, and the name of the format.

    data: UTF-8. Raises DataError that names the line which is not JSON, or the row which is no object.
    """
    head = data[:4096].to_pybytes().lstrip()
    if not head:
        raise DataError(f"{path} holds only blank lines", "one JSON object a line", "Check the file")
    if head.startswith(b"["):
        return _json_list(data, path), "JSON"
    for block in (1 << 24, 1 << 28):
        try:
            # a row must lie within one block: a larger block for those with very long rows
            options = pajson.ReadOptions(block_size=block)
            table = pajson.read_json(pa.BufferReader(data), read_options=options)
            return _list_within(table) or (table, "JSON lines")
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error):
                break
    return _json_lines(data, path), "JSON lines"


def _list_within(table: pa.Table) -> tuple[pa.Table, str] | None:
    """The rows of a lone object that wraps them, as in {"version": 1, "data": [{...}, {...}]}."""
    wrapped = [field.name for field in table.schema if field.name in _WRAPPERS and _holds_objects(field.type)]
    if table.num_rows != 1 or len(wrapped) != 1:
        return None
    values = table[wrapped[0]].combine_chunks().flatten()
    return pa.Table.from_struct_array(values), f"JSON (its list {wrapped[0]!r})"


def _holds_objects(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and pa.types.is_struct(kind.value_type))


def _json_list(data: pa.Buffer, path: Path) -> pa.Table:
    try:
        values = json.loads(data.to_pybytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}", "a list of objects", "Check the file") from None
    return _from_objects(values, path)


def _json_lines(data: pa.Buffer, path: Path) -> pa.Table:
    """Line by line: for values of mixed types, which a typed reader refuses, and to name a wrong line."""
    values = []
    for number, line in enumerate(data.to_pybytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"line {number:,} of {path} is not valid JSON: {error}",
                "one JSON object a line",
                "Mend that line",
            ) from None
    return _from_objects(values, path)


def _from_objects(values: list[Any], path: Path) -> pa.Table:
    strange = next((n for n, value in enumerate(values) if not isinstance(value, dict)), None)
    if strange is not None:
        raise DataError(
            f"row {strange:,} of {path} is no object but of the type {type(values[strange]).__name__}",
            'every row an object such as {"text": "...", "label": "..."}',
            "Write objects, one a row",
        )
    names = list(dict.fromkeys(name for value in values for name in value))
    return pa.table({name: _column([value.get(name) for value in values]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        plain = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
        return pa.array(plain, pa.string())
