"""What one column holds: its values as text, folded text, labels, and the kind of the column."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.part_words import parts_named
from automl.data.pieces import by_pieces, evenly, rows_at, taken

# white space of all scripts: RE2's \s knows ASCII alone
_SPACE = r"[\s\pZ\x0b\x1c-\x1f\x85]+"
_NO_SINGLE_BLANK = r"  |[\t-\r\x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
_WHOLE = r"^([-+]?\d+)\.0+$"
_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_NUMBERS = r"^[\s\[({]*[-+.]?\d[\d\s.,;:|/eE+\-\[\](){}]*$"
_DATE = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}([T ]\d{1,2}:\d{2}.*)?$|^\d{1,2}[-/.](\d{1,2}|\w{3})[-/.]\d{2,4}( .*)?$"
_NO_NUMBER = pa.array(["", "na", "n/a", "nan", "null", "none", "inf", "-inf", "?"])
_ID_NAME = re.compile(r"(^|[^a-z])(id|ids|uuid|guid|key|index|idx|row|number|nr|no)$", re.IGNORECASE)
_SAMPLE_ROWS = 20_000
_FIRST_ROWS = 1_000
_MOST_PARTS = 30
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a column looks like. distinct and missing are exact; words and characters are means over a sample.

    kind: text, category, number, boolean, date, id, list, bytes, part (words such as train and test), constant or
    empty.
    """

    name: str
    kind: str
    missing: int
    distinct: int
    words: float
    characters: float
    examples: tuple[str, ...]
    whole: bool = False
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        values = {**self.__dict__, "examples": list(self.examples)}
        return {name: value for name, value in values.items() if value is not None}


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Every value as text, null where missing; whole floats without their point, lists joined by blanks."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return as_text(column.cast(kind.value_type))
    if pa.types.is_string(kind):
        return column
    if pa.types.is_floating(kind):
        finite = pc.if_else(pc.is_finite(column), column, None)
        return pc.replace_substring_regex(finite.cast(pa.string()), _WHOLE, r"\1")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type):
            return pc.binary_join(column, " ").cast(pa.string())
    if pa.types.is_nested(kind) or is_bytes(kind):
        values = (None if v is None else json.dumps(v, default=str) for v in column.to_pylist())
        return pa.chunked_array([pa.array(values, pa.string())])
    return column.cast(pa.string())


def is_bytes(kind: pa.DataType) -> bool:
    """Whether values are bytes, of whichever of Arrow's types for them."""
    checks = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(check(kind) for check in checks)


def fold_space(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text with every run of white space as one blank, and none at its ends."""
    # to look for what is no single blank takes a twentieth of what rewriting takes, and few texts have it
    odd = pc.fill_null(pc.match_substring_regex(text, _NO_SINGLE_BLANK), False).combine_chunks()
    if pc.any(odd, min_count=0).as_py():
        rewritten = pc.replace_substring_regex(text.filter(odd), _SPACE, " ")
        text = pc.replace_with_mask(text, odd, rewritten.combine_chunks())
    return pc.utf8_trim_whitespace(text)


def fold(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text in lower case with white space folded: what two rows must share to count as the same."""
    return fold_space(pc.utf8_lower(text))


def to_mask(values: pa.ChunkedArray) -> Mask:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def blank(text: pa.ChunkedArray) -> Mask:
    """Where there is nothing but white space."""
    return by_pieces(_blank, text)


def _blank(text: pa.ChunkedArray) -> Mask:
    return to_mask(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text), ""), True))


def matching(text: pa.ChunkedArray, pattern: str, what: str | None = None) -> Mask:
    """Where a regular expression occurs. what: as in `pieces`."""
    return by_pieces(lambda piece: to_mask(pc.match_substring_regex(piece, pattern)), text, what)


def word_counts(text: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Words of every text, 0 where there is none."""
    return by_pieces(
        lambda piece: pc.fill_null(pc.count_substring_regex(piece, r"\S+"), 0).to_numpy().astype(np.int64), text
    )


def byte_counts(text: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Bytes of every text in UTF-8, 0 where there is none."""
    return by_pieces(lambda piece: pc.fill_null(pc.binary_length(piece), 0).to_numpy().astype(np.int64), text)


def hashes_of(text: pa.ChunkedArray, what: str | None = None) -> Hashes:
    """64 bits a text, equal where the texts are equal; nulls share one. what: as in `pieces`.

    Of five million different texts, two have the same with a chance of 1 in 1.5 million.
    """
    return by_pieces(_hashes, text, what)


def _hashes(text: pa.ChunkedArray) -> Hashes:
    from pandas.util import hash_array

    values = np.asarray(pc.fill_null(text, "\x00").to_numpy(zero_copy_only=False), object)
    return np.asarray(hash_array(values, categorize=False), np.uint64)


def codes_of(text: pa.ChunkedArray) -> Codes:
    """Numbers that are equal where the texts are equal, by where each first stands; nulls share one."""
    return numbered(hashes_of(text))


def numbered(hashes: Hashes) -> Codes:
    """Numbers from 0 in the place of hashes, in the order in which these first come."""
    from pandas import factorize

    return np.asarray(factorize(hashes)[0], np.int64)


def row_keys(table: pa.Table, columns: tuple[str, ...]) -> pa.ChunkedArray:
    """One folded text a row, made of the columns' texts in their order."""
    texts = [pc.fill_null(fold(as_text(table[name])), "").cast(pa.large_string()) for name in columns]
    if len(texts) == 1:
        return texts[0]
    return pc.binary_join_element_wise(*texts, pa.scalar("\x1f", pa.large_string()))


def row_hashes(table: pa.Table, columns: tuple[str, ...], what: str) -> Hashes:
    """64 bits a row, equal where `row_keys` are. what: what they are made for, to be told while it lasts."""
    return by_pieces(lambda piece: _hashes(row_keys(piece, columns)), table.select(list(columns)), what)


def blank_rows(table: pa.Table, columns: tuple[str, ...]) -> Mask:
    """Where all the columns are blank."""
    found = np.ones(table.num_rows, np.bool_)
    for name in columns:
        found &= blank(as_text(table[name]))
    return found


def describe(name: str, column: pa.ChunkedArray) -> Column:
    """A column's kind and its simplest statistics."""
    if is_bytes(column.type):
        return _describe_bytes(name, column)
    text = as_text(column)
    missing = blank(text)
    there = np.flatnonzero(~missing)
    sample = rows_at(text, there[evenly(len(there), _SAMPLE_ROWS)])
    distinct = len(np.unique(hashes_of(text, f"counting the values of {name!r}")[there]))
    numbers = None if _are_codes(sample) else _numbers(text, there)
    words = pc.mean(pc.count_substring_regex(sample, r"\S+")).as_py() if len(sample) else 0.0
    characters = pc.mean(pc.utf8_length(sample)).as_py() if len(sample) else 0.0
    finite = numbers[np.isfinite(numbers)] if numbers is not None else None
    ranged = finite is not None and len(finite) > 0
    whole = finite is not None and ranged and bool((finite == np.round(finite)).all())
    nested = pa.types.is_nested(column.type)
    kind = "list" if nested else _kind(name, sample, len(there), distinct, words, characters, finite, whole)
    if kind == "number" and pa.types.is_boolean(column.type):
        kind = "boolean"
    return Column(
        name=name,
        kind=kind,
        missing=int(missing.sum()),
        distinct=distinct,
        words=round(words, 1),
        characters=round(characters, 1),
        examples=tuple(str(v)[:80] for v in sample[:3].to_pylist()),
        whole=whole,
        low=float(finite.min()) if finite is not None and ranged else None,
        high=float(finite.max()) if finite is not None and ranged else None,
    )


def _describe_bytes(name: str, column: pa.ChunkedArray) -> Column:
    sizes = pc.binary_length(column).drop_null()
    return Column(
        name=name,
        kind="bytes",
        missing=column.null_count,
        distinct=pc.count_distinct(column).as_py(),
        words=0.0,
        characters=0.0,
        examples=tuple(f"{size:,} bytes" for size in sizes[:3].to_pylist()),
    )


def _numbers(text: pa.ChunkedArray, there: Codes) -> npt.NDArray[np.float64] | None:
    """The values as numbers, NaN for the usual words for a missing one; None where one is something else.

    there: which rows have a value.
    """
    found: list[npt.NDArray[np.float64]] = []
    any_number = False
    for places in (there[:_FIRST_ROWS], there[_FIRST_ROWS:]):  # a few tell of most texts that they are none
        for piece in taken(text, places):
            trimmed = pc.utf8_trim_whitespace(piece)
            matches = pc.match_substring_regex(trimmed, _NUMBER)
            either = pc.or_(matches, pc.is_in(pc.utf8_lower(trimmed), _NO_NUMBER))
            if not pc.all(either, min_count=0).as_py():
                return None
            any_number |= bool(pc.any(matches).as_py())
            plain = pc.if_else(matches, pc.replace_substring_regex(trimmed, r"^\+", ""), None)
            found.append(plain.cast(pa.float64()).to_numpy().astype(np.float64))
    return np.concatenate(found) if any_number else None


def numeric_values(column: pa.ChunkedArray) -> npt.NDArray[np.float64] | None:
    """A whole column as numbers, NaN where missing; None where it is not numeric."""
    text = as_text(column)
    there = np.flatnonzero(~blank(text))
    numbers = _numbers(text, there)
    if numbers is None:
        return None
    values = np.full(len(text), np.nan)
    values[there] = numbers
    return values


def _kind(
    name: str,
    sample: pa.ChunkedArray,
    rows: int,
    distinct: int,
    words: float,
    characters: float,
    numbers: npt.NDArray[np.float64] | None,
    whole: bool,
) -> str:
    if rows == 0:
        return "empty"
    if distinct == 1 and rows > 1:
        return "constant"
    if numbers is not None:
        counts_up = rows > 2 and len(numbers) == rows and bool((np.diff(numbers) > 0).all())
        unique = distinct == rows and rows >= 10 and whole
        return "id" if unique and (counts_up or _ID_NAME.search(name)) else "number"
    if pc.all(pc.is_in(pc.utf8_lower(sample), pa.array(["true", "false"]))).as_py():
        return "boolean"
    if pc.all(pc.match_substring_regex(sample, _DATE)).as_py():
        return "date"
    if (
        2 <= distinct <= _MOST_PARTS
        and len(set((parts_named(sample.unique().to_pylist()) or {}).values()) - {""}) > 1
    ):
        return "part"
    single = words < 1.05
    # an id is one token, nearly always new, and holds digits; single words of a text corpus do not
    if single and rows >= 10 and distinct >= 0.95 * rows and (_ID_NAME.search(name) or _mostly_digits(sample)):
        return "id"
    if distinct <= 2 or (distinct <= max(20, rows // 20) and words < 8):
        return "category"
    if single and characters < 20 and distinct <= rows / 2:
        return "category"
    return "numbers" if pc.all(pc.match_substring_regex(sample, _NUMBERS)).as_py() else "text"


def _are_codes(sample: pa.ChunkedArray) -> bool:
    """Whether digits are codes of one length such as 01234, which are no numbers: some begin with a zero."""
    if not pc.any(pc.match_substring_regex(sample, r"^0\d")).as_py():
        return False
    return (
        bool(pc.all(pc.match_substring_regex(sample, r"^\d+$")).as_py()) and len(pc.utf8_length(sample).unique()) == 1
    )


def _mostly_digits(sample: pa.ChunkedArray) -> bool:
    return bool(pc.mean(pc.match_substring_regex(sample, r"\d").cast(pa.float64())).as_py() > 0.9)
