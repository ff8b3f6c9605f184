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
    """The parts with lists that never have more than one element read as their elements, and a note on it.

    The text of such lists is read too, which pandas writes into a CSV.
    """
    parts = dict(parts)
    for name in parts["train"].table.column_names:
        columns = {part: rows.table[name] for part, rows in parts.items() if name in rows.table.column_names}
        unwrapped = {part: _elements(column) for part, column in columns.items()}
        if any(column is None for column in unwrapped.values()):
            continue
        for part, column in unwrapped.items():
            table = parts[part].table
            table = table.set_column(table.column_names.index(name), name, column)
            parts[part] = replace(parts[part], table=table)
        parts["train"] = parts["train"].noting(f"lists of one in {name!r} read as their element")
    return parts


def _is_list(kind: pa.DataType) -> bool:
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(listed and not pa.types.is_nested(kind.value_type))


def _elements(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The one element of every list, null where it has none; None where these are no lists, or longer ones."""
    if _is_list(column.type):
        if (pc.max(pc.list_value_length(column)).as_py() or 0) != 1:
            return None
        values = (value[0] if value else None for value in column.to_pylist())
        return pa.chunked_array([pa.array(values, column.type.value_type)])
    if not pa.types.is_string(column.type) or not len(column) or not _LIST.fullmatch(column[0].as_py() or ""):
        return None
    distinct = column.unique()
    if len(distinct) > _MOST_DISTINCT or not all(
        text is None or _LIST.fullmatch(text) for text in distinct.to_pylist()
    ):
        return None
    lists = [_parsed(text or "[]") for text in distinct.to_pylist()]
    if any(
        len(found) != 1 and text not in (None, "[]") for found, text in zip(lists, distinct.to_pylist(), strict=True)
    ):
        return None
    elements = pa.array([str(found[0]) if found else None for found in lists], pa.string())
    return pa.chunked_array([pc.take(elements, pc.index_in(chunk, distinct)) for chunk in column.chunks], pa.string())


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
