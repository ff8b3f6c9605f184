"""A column that says which rows are train, validation and test, such as `split` or `is_test`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automl.config import RunRequest
from automl.data.columns import Codes, Mask, as_text, fold_space
from automl.data.guess import TARGETS, find_column
from automl.data.part_words import PARTS_COLUMN, flagged_part, parts_named
from automl.data.row_parts import PARTS, rows_of_part
from automl.data.rows import Rows
from automl.errors import DataError, RequestError

NO_SPLIT = "none"
_FIRST_ROWS, _MOST_VALUES = 1_000, 30
_FLAGS = {"0": False, "0.0": False, "false": False, "no": False, "1": True, "1.0": True, "true": True, "yes": True}


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a user said that bears on the parts of a source.

    split: the column that says the part of every row, `none` for no such column, None to look for one. named: columns
    that were named for something else, by option. test, validation: files of these parts. folds: cuts of validation.
    time: the column by which parts are cut.
    """

    split: str | None = None
    named: Mapping[str, Sequence[str]] | None = None
    test: str | None = None
    validation: str | None = None
    folds: int | None = None
    time: str | None = None

    @classmethod
    def over(cls, columns: Mapping[str, Sequence[str] | str | None], **said: Any) -> Said:
        """With the columns that options name: one, several or none."""
        named = {o: [names] if isinstance(names, str) else list(names or ()) for o, names in columns.items()}
        return cls(named=named, **said)

    @classmethod
    def of(cls, request: RunRequest) -> Said:
        roles = ("target", "text", "image", "group", "time", "slice")
        parts = ("split", "test", "validation", "folds", "time")
        return cls.over(
            {f"--{name}": getattr(request, name) for name in roles},
            **{name: getattr(request, name) for name in parts},
        )

    def option_of(self, column: str) -> str | None:
        """The option that names a column for something else."""
        return next((option for option, names in (self.named or {}).items() if column in names), None)


@dataclass(frozen=True)
class _Column:
    """What a column says. codes: the place of every row's part, -1 for none. words: its values and their parts."""

    names: tuple[str, ...]
    codes: Codes
    words: Mapping[str, str]

    @property
    def has(self) -> list[str]:
        return [part for place, part in enumerate(PARTS) if (self.codes == place).any()]


def parts_by_column(parts: Mapping[str, Rows], said: Said) -> dict[str, Rows]:
    """The parts that a column of the training rows makes, without that column; without one the parts as they are.

    Raises DataError or RequestError where the column does not say the part of every row, or contradicts what else
    gives or cuts the parts.
    """
    if said.split == NO_SPLIT:
        return dict(parts)
    train = parts["train"]
    column = _found(train, said) if said.split is None else _named(train, said.split, said)
    if column is None:
        return dict(parts)
    _refuse_contradictions(column, parts, said)
    made = {part: rows_of_part(train, column.codes, part, column.names) for part in column.has}
    made["train"] = made["train"].noting(_sentence(column, said))
    others = {part: _without(rows, column.names) for part, rows in parts.items() if part not in made}
    return {part: (made | others)[part] for part in PARTS if part in made or part in others}


def _sentence(column: _Column, said: Said) -> str:
    counts = Counter(column.codes.tolist())
    words = {part: [word for word, meant in column.words.items() if meant == part] for part in PARTS}
    listed = ", ".join(
        f"{part} {counts[place]:,}"
        + ("" if words[part] in ([], [part]) else f" ({', '.join(map(repr, words[part][:5]))})")
        for place, part in enumerate(PARTS)
        if counts[place]
    )
    unused = [word for word, part in column.words.items() if not part]
    aside = f", left aside {counts[-1]:,} ({', '.join(map(repr, unused))})" if counts[-1] else ""
    how = "named with --split" if said.split is not None else "--split none takes all rows as training rows"
    noun = "column" if len(column.names) == 1 else "columns"
    return f"parts by the {noun} {' and '.join(map(repr, column.names))}: {listed}{aside} ({how})"


def _without(rows: Rows, names: Sequence[str]) -> Rows:
    return replace(rows, table=rows.table.drop_columns([n for n in names if n in rows.table.column_names]))


def _values(train: Rows, name: str) -> pa.ChunkedArray | None:
    """The column's values as folded text; None where they are too many for words of parts."""
    column = train.table[name]
    if pa.types.is_nested(column.type) or pa.types.is_floating(column.type):
        return None
    if len(as_text(column.slice(0, _FIRST_ROWS)).unique()) > _MOST_VALUES:
        return None
    return fold_space(as_text(column))


def _found(train: Rows, said: Said) -> _Column | None:
    """The column that says the parts, or the flags of it together. Raises where two say different things."""
    roles = ("--target", "--text", "--image")
    free = [name for name in train.table.column_names if said.option_of(name) not in roles]
    if train.table.num_columns < 3:  # without it a text and a class must be left
        return None
    flags = {name: part for name in free if (part := flagged_part(name)) is not None}
    found = [column for name in free if name not in flags and (column := _by_words(train, name)) is not None]
    if flags and (column := _by_flags(train, flags)) is not None:
        found.append(column)
    if not found:
        return None
    first = found[0]
    other = next((column for column in found if not np.array_equal(column.codes, first.codes)), None)
    if other is not None:
        raise DataError(
            f"the columns {first.names[0]!r} and {other.names[0]!r} of {train.read_as.source} both say which rows "
            "are train and which are not, and they differ",
            "one column that says it",
            f"Choose one with --split, such as --split {first.names[0]}, or none of them with --split none",
        )
    return replace(first, names=tuple(name for column in found for name in column.names))


def _by_words(train: Rows, name: str) -> _Column | None:
    """The column where all values are words for parts, training among them; where it is named so, they must be."""
    values = _values(train, name)
    if values is None or name.lower() in TARGETS:
        return None
    counts = _counts(values)
    words = [value for value in counts if parts_named([value]) is not None]
    meant = parts_named(words) or {}
    if len(set(meant.values()) - {""}) < 2:
        return None
    if len(words) == len(counts) and "train" in meant.values():
        return _Column((name,), _codes(values, meant), meant)
    if not PARTS_COLUMN.search(name) or sum(counts[word] for word in words) * 2 <= len(values):
        return None
    raise _unclear(train, name, counts, f"Mend these values, or say --split {NO_SPLIT} to take all as training rows")


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    return {str(pair["values"] or ""): int(pair["counts"]) for pair in values.value_counts().to_pylist()}


def _codes(values: pa.ChunkedArray, meant: Mapping[str, str]) -> Codes:
    places = {word: PARTS.index(part) if part else -1 for word, part in meant.items()}
    at = pc.index_in(values, pa.array(list(places), pa.string())).to_numpy().astype(np.int64)
    codes: Codes = np.array(list(places.values()), np.int64)[at]
    return codes


def _unclear(train: Rows, name: str, counts: Mapping[str, int], todo: str) -> DataError:
    odd = {value: rows for value, rows in counts.items() if parts_named([value]) is None}
    first = ", ".join(f"{value!r} in {rows:,} rows" for value, rows in islice((odd or counts).items(), 5))
    lacks = f"{first} among its words for parts" if odd else f"no row of train ({first})"
    return DataError(
        f"column {name!r} of {train.read_as.source} has {lacks}",
        "train, validation or test in every row, training rows among them",
        todo,
    )


def _by_flags(train: Rows, flags: Mapping[str, str]) -> _Column | None:
    """The parts by columns of 0 and 1; where all are 0: the training rows, of which there then is no flag."""
    marks: dict[str, Mask] = {}
    for name in flags:
        column = train.table[name]
        if pa.types.is_floating(column.type):
            column = column.cast(pa.string())
        texts = pc.utf8_lower(as_text(column)) if len(as_text(column.slice(0, _FIRST_ROWS)).unique()) <= 3 else None
        if texts is not None and set(texts.unique().to_pylist()) <= set(_FLAGS):
            yes = pa.array([word for word, flag in _FLAGS.items() if flag])
            marks[name] = pc.is_in(texts, yes).to_numpy(zero_copy_only=False).astype(np.bool_)
    if not marks or len({flags[name] for name in marks}) < len(marks):
        return None
    others = [part for part in ("train", "test", "validation") if part not in {flags[name] for name in marks}]
    codes = np.full(train.table.num_rows, PARTS.index(others[0]) if others else -1)
    for name, mark in marks.items():
        codes[mark] = PARTS.index(flags[name])
    column = _Column(tuple(marks), codes, {})
    if np.sum(list(marks.values()), axis=0).max() > 1 or len(column.has) < 2 or "train" not in column.has:
        return None
    return None if (codes < 0).any() else column


def _named(train: Rows, name: str, said: Said) -> _Column:
    """The column that the user named. Raises DataError or RequestError where it says no parts."""
    name = find_column(name, train.table.column_names, "--split", train.read_as.source)
    other = said.option_of(name)
    if other is not None:
        raise RequestError(f"column {name!r} is both --split and {other}", "two columns", "Change one of them")
    if (part := flagged_part(name)) is not None and (column := _by_flags(train, {name: part})) is not None:
        return column
    values = fold_space(as_text(train.table[name]))
    counts = _counts(values)
    meant = parts_named(counts) or {}
    if "train" not in meant.values():
        raise _unclear(
            train, name, counts, "Write one of these words there, or give files with --validation and --test"
        )
    return _Column((name,), _codes(values, meant), meant)


def _refuse_contradictions(column: _Column, parts: Mapping[str, Rows], said: Said) -> None:
    source, name = parts["train"].read_as.source, column.names[0]
    for part, other, todo in _contradictions(column, parts, said):
        raise RequestError(
            f"column {name!r} of {source} says which rows are train and which are {part}, and {other}",
            f"one that says which rows are {part}",
            f"{todo}, or say --split {NO_SPLIT} to take all rows of {source} as training rows",
        )


def _contradictions(column: _Column, parts: Mapping[str, Rows], said: Said) -> Iterator[tuple[str, str, str]]:
    """The part that is said twice, what else says it, and what to do."""
    for name in column.names:
        if (option := said.option_of(name)) is not None:
            yield " and ".join(column.has[1:]), f"{option} {name} takes it for something else", f"Leave {option} out"
    for part, file in (("test", said.test), ("validation", said.validation)):
        if part in column.has and part in parts:
            other = f"--{part} {file} is given too" if file else f"the source has a {part} part of its own"
            yield part, other, f"Leave {f'--{part}' if file else f'the file of {part} rows'} out"
    if said.folds is not None and "validation" in column.has:
        yield "validation", f"--folds {said.folds} would cut other validation rows", "Leave --folds out"
    if said.time is not None and "test" in column.has and said.split is None:
        latest = f"--time {said.time} would take the latest rows"
        yield "test", latest, f"Say --split {column.names[0]} to test on its rows and validate on the latest others"
