"""Whether a target holds several labels in a cell: a list, or names between separators that are labels themselves."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from automl.data.columns import as_text, fold_space
from automl.data.rows import Rows

MULTI_LABEL = "multi-label-classification"
_LOOSE, _STRICT, _BLANK = "|;,", "/+", " "
"""Separators that few names of classes hold; those that some do; and the one that most do."""
_MOST_DISTINCT = 20_000
_RETURNING = 0.9
_FEWEST_WITH_BLANKS = 3
_COMMA_DECIMAL = re.compile(r"\d+,(0|5|25|50|75)")
_LIST = re.compile(r"\s*\[.*\]\s*", re.DOTALL)


def without_lists_of_one(parts: Mapping[str, Rows]) -> dict[str, Rows]:
    """The parts with lists that never have more than one element read as their elements, and a note on it."""
    parts = dict(parts)
    train = parts["train"]
    for name in train.table.column_names:
        columns = [rows.table[name] for rows in parts.values() if name in rows.table.column_names]
        if all(_holds_one(column) for column in columns):
            parts = {part: _unwrapped(rows, name) for part, rows in parts.items()}
            parts["train"] = parts["train"].noting(f"lists of one in {name!r} read as their element")
    return parts


def _is_list(kind: pa.DataType) -> bool:
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(listed and not pa.types.is_nested(kind.value_type))


def _holds_one(column: pa.ChunkedArray) -> bool:
    return _is_list(column.type) and (pc.max(pc.list_value_length(column)).as_py() or 0) == 1


def _unwrapped(rows: Rows, name: str) -> Rows:
    if name not in rows.table.column_names:
        return rows
    column = rows.table[name]
    filled = pc.if_else(pc.equal(pc.list_value_length(column), 1), column, None)
    chunks = [_first(chunk) for chunk in filled.chunks]
    kind = column.type.value_type
    table = rows.table.set_column(rows.table.column_names.index(name), name, pa.chunked_array(chunks, kind))
    return replace(rows, table=table)


def _first(chunk: pa.Array) -> pa.Array:
    values = chunk.to_pylist()
    return pa.array([None if value is None else value[0] for value in values], chunk.type.value_type)


def several_labels(column: pa.ChunkedArray) -> str | None:
    """What shows that cells of a target hold several labels; None where each holds one."""
    if _is_list(column.type):
        lengths = pc.list_value_length(column)
        rows = pc.sum(pc.greater(lengths, 1)).as_py() or 0
        longest = pc.max(lengths).as_py()
        return f"lists of several labels in {rows:,} rows, the longest of {longest}" if rows else None
    if pa.types.is_nested(column.type):
        return None
    counted = fold_space(as_text(column)).drop_null().value_counts()
    if len(counted) > _MOST_DISTINCT:
        return None
    counts = {str(pair["values"]): int(pair["counts"]) for pair in counted.to_pylist() if pair["values"]}
    return _in_lists(counts) or _between_separators(counts)


def _in_lists(counts: Mapping[str, int]) -> str | None:
    """As in a CSV that pandas wrote: the text of a list in every cell."""
    if not counts or not all(_LIST.fullmatch(label) for label in counts):
        return None
    several = [label for label in counts if len(_parsed(label)) > 1]
    rows = sum(counts[label] for label in several)
    return f"lists of several labels in {rows:,} rows, such as {several[0]!r}" if several else None


def _parsed(text: str) -> list[object]:
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, list) and not any(isinstance(value, list | dict) for value in found):
            return found
    return []


def _between_separators(counts: Mapping[str, int]) -> str | None:
    for separator in (*_LOOSE, *_STRICT, _BLANK):
        pieces = {label: _pieces(label, separator) for label in counts if separator in label}
        pieces = {label: found for label, found in pieces.items() if len(found) > 1}
        if pieces and _are_labels(pieces, counts, separator):
            label = max(pieces, key=lambda label: counts[label])
            rows = sum(counts[label] for label in pieces)
            return f"several labels in {rows:,} rows, such as {label!r}, of which each comes back elsewhere"
    return None


def _pieces(label: str, separator: str) -> list[str]:
    return [piece for piece in (part.strip() for part in label.split(separator)) if piece]


def _are_labels(pieces: Mapping[str, Sequence[str]], counts: Mapping[str, int], separator: str) -> bool:
    """Whether what stands between separators comes back as a label on its own, or in other places of other cells."""
    alone = {label.strip() for label in counts if label not in pieces}
    if separator == "," and all(_COMMA_DECIMAL.fullmatch(label) for label in pieces):
        return False
    cells = Counter(piece for found in pieces.values() for piece in set(found))
    places = {(piece, place) for found in pieces.values() for place, piece in enumerate(found)}
    by_themselves = [
        label for label, found in pieces.items() if len(set(found)) == len(found) and alone.issuperset(found)
    ]
    if separator in _STRICT:
        return len(by_themselves) == len(pieces)
    if separator == _BLANK:
        return len(by_themselves) == len(pieces) >= _FEWEST_WITH_BLANKS
    returning = [
        label
        for label, found in pieces.items()
        if len(set(found)) == len(found) and all(piece in alone or cells[piece] > 1 for piece in found)
    ]
    # 'food|good' and 'food|bad', 'staff|good': a piece that always stands first is no label of many, but half of one
    wandering = len(places) > len(cells)
    return bool(by_themselves or wandering) and len(returning) >= _RETURNING * len(pieces)
