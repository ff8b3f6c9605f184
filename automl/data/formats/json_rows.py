"""JSON lines, or one JSON list, as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson

from automl.data.boxes import is_coco, read_coco
from automl.data.encoding import read_text
from automl.data.formats.base import Format
from automl.data.formats.json_turned import json_column, read_lists, read_turned
from automl.data.mapped import mapped
from automl.data.rows import ReadOptions, Rows
from automl.errors import DataError

_DEEPEST = 100
_LINE_END = 2
_STEPS = np.zeros(256, np.int8)
_STEPS[[ord("["), ord("{")]], _STEPS[[ord("]"), ord("}")]], _STEPS[ord("\n")] = 1, -1, _LINE_END
_SCAN_BYTES = 1 << 24
_PART_BYTES, _BLOCK_BYTES = 1 << 26, 1 << 24
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
    # Arrow's reader descends without end and would crash: what may be deep is read by Python's, which refuses it
    shallow = _brackets_deep(data) <= _DEEPEST
    if shallow and (turned := read_turned(data, path)) is not None:
        return turned
    if shallow and len(data) > _PART_BYTES and (table := _in_parts(data)) is not None:
        return table, "JSON lines"
    for block in (_BLOCK_BYTES, 1 << 28) if shallow else ():
        try:
            # a row must lie within one block: a larger block for those with very long rows
            options = pajson.ReadOptions(block_size=block)
            table = pajson.read_json(pa.BufferReader(data), read_options=options)
            if table.num_rows == 1 and is_coco(table.column_names):
                return read_coco(table.to_pylist()[0], path), "COCO"
            return _list_within(table) or (mapped(table.schema, table.to_batches()), "JSON lines")
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error):
                break
    return _json_lines(data, path), "JSON lines"


def _in_parts(data: pa.Buffer) -> pa.Table | None:
    """The rows of a large file, read and put aside part by part; None where a part cannot be told by itself.

    Parts end where a line does. Their columns must fit together without any of them being made into text.
    """
    tables, start = [], 0
    try:
        while start < len(data):
            part = data[start : start + _PART_BYTES]
            if start + len(part) < len(data):
                part = part[: part.to_pybytes().rfind(b"\n") + 1]
            if not len(part):
                return None
            start += len(part)
            options = pajson.ReadOptions(block_size=_BLOCK_BYTES)
            table = pajson.read_json(pa.BufferReader(part), read_options=options)
            tables.append(mapped(table.schema, table.to_batches()))
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException:
        return None


def _brackets_deep(data: pa.Buffer) -> int:
    """How deep the brackets nest at most: at least as deep as the values, for brackets in texts are counted too.

    Where the first line is whole every line is one value, and a bracket that a text leaves open ends with its line.
    """
    view = np.frombuffer(data, np.uint8)
    try:
        json.loads(data[:_SCAN_BYTES].to_pybytes().split(b"\n", 1)[0])
        by_line = True
    except (ValueError, RecursionError):
        by_line = False
    deepest, before = 0, 0
    for start in range(0, len(view), _SCAN_BYTES):
        marks = _STEPS[view[start : start + _SCAN_BYTES]]
        marks = marks[marks != 0]
        depths = np.cumsum(np.where(marks == _LINE_END, 0, marks), dtype=np.int64) + before
        if by_line and len(marks):
            # what stood open at the last line's end is taken off
            last = np.maximum.accumulate(np.where(marks == _LINE_END, np.arange(len(marks)), -1))
            depths -= np.where(last >= 0, depths[last], 0)
        deepest = max(deepest, int(depths.max(initial=0)))
        before = int(depths[-1]) if len(marks) else before
    return deepest


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
    except RecursionError as error:
        raise DataError(f"{path} is not valid JSON: {error}", "a list of objects", "Check the file") from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return _json_lines(data, path)  # a list a line
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
    deep = next((n for n, value in enumerate(values) if _is_deep(value)), None)
    if deep is not None:
        raise DataError(
            f"row {deep:,} of {path} nests more than {_DEEPEST} levels deep",
            "objects of texts, numbers and short lists",
            "Leave that value out, or write it as text",
        )
    if (table := read_lists(values)) is not None:
        return table
    strange = next((n for n, value in enumerate(values) if not isinstance(value, dict)), None)
    if strange is not None:
        raise DataError(
            f"row {strange:,} of {path} is no object but of the type {type(values[strange]).__name__}",
            'every row an object such as {"text": "...", "label": "..."}',
            "Write objects, one a row",
        )
    names = list(dict.fromkeys(name for value in values for name in value))
    return pa.table({name: json_column([value.get(name) for value in values]) for name in names})


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
