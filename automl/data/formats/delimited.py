"""CSV, TSV and their relatives as a table of strings, without losing a row."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from automl.data.encoding import binary_kind, read_text
from automl.data.formats.base import Format
from automl.data.line_ends import Positions, guard_returns, positions, restore_returns, with_newlines
from automl.data.mapped import mapped
from automl.data.pieces import counted
from automl.data.rows import DELIMITER_NAMES, NO_DELIMITER, ReadOptions, Rows
from automl.errors import DataError

_SAMPLE_BYTES = 1 << 18
_BLOCK_BYTES = (1 << 24, 1 << 28)
MOST_COLUMNS = 5_000
_CANDIDATES = (",", "\t", ";", "|")
_SEPARATOR_LINE = re.compile(rb"\"?sep=([^\r\n\"]|\\t)\"?\r?\n", re.IGNORECASE)
_ROW_NAME = "row_name"
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a delimited file is to be read.

    quote: None where quotation marks are plain characters. multiline: a quoted value holds a line break.
    broken: quotation marks fit no rule, so that lines are judged one by one.
    """

    delimiter: str
    quote: str | None = '"'
    escape: str | None = None
    multiline: bool = False
    broken: bool = False
    header: bool = True

    @property
    def delimiter_name(self) -> str:
        return DELIMITER_NAMES.get(self.delimiter, "no" if self.delimiter == NO_DELIMITER else repr(self.delimiter))


class Delimited(Format):
    """Lines of fields: CSV, TSV and their relatives, and lines of one field."""

    name = "delimited text"
    endings = (".csv", ".tsv", ".tab", ".txt", ".dat", ".psv")
    takes = ("encoding", "delimiter", "header")

    def claims(self, head: bytes) -> bool:
        """Where the first lines have the same number of fields, two or more."""
        if binary_kind(head) is not None:
            return False
        whole = head[: head.rfind(b"\n") + 1] or head
        return find_dialect(pa.py_buffer(whole), whole.decode("utf-8", "ignore"), "").delimiter != NO_DELIMITER

    def read(self, path: Path, options: ReadOptions) -> Rows:
        data, encoding, mark = read_text(path, options.encoding)
        data, said = _without_separator_line(data)
        table, dialect, skipped, notes = read_delimited(data, path, options.separator or said, options.header)
        rows = Rows.of(
            table,
            path,
            format=self.name,
            encoding=encoding,
            byte_order_mark=mark,
            delimiter=dialect.delimiter_name if table.num_columns > 1 else None,
            quoting="none" if dialect.quote is None and b'"' in data[: 1 << 20].to_pybytes() else "double",
            header=dialect.header,
            skipped_rows=skipped,
        )
        return rows.noting(*(["its first line, sep=, names the delimiter"] if said else []), *notes)


def _without_separator_line(data: pa.Buffer) -> tuple[pa.Buffer, str | None]:
    """The text without Excel's first line `sep=;`, and the delimiter that this names."""
    match = _SEPARATOR_LINE.match(data[:16].to_pybytes())
    if match is None:
        return data, None
    return data[match.end() :], "\t" if match[1] == b"\\t" else match[1].decode()


def read_delimited(
    data: pa.Buffer, path: Path, delimiter: str | None = None, header: bool | None = None
) -> tuple[pa.Table, Dialect, tuple[int, ...], list[str]]:
    """The rows as a table of strings, how they were read, the numbers of rows that could not be read, and notes.

    data: UTF-8. delimiter, header: what the user said of them; found out where None.
    Raises DataError where there are no rows, or where too many have the wrong number of fields.
    """
    data, stand_in = guard_returns(with_newlines(data), _CANDIDATES if delimiter is None else (delimiter,))
    sample = _sample(data)
    if not sample.strip():
        raise DataError(f"{path} holds only blank lines", "a header and rows", "Check the file")
    dialect = find_dialect(data, sample, path.suffix.lower()) if delimiter is None else _quoting(data, delimiter)
    records = _records(sample, dialect)[:2000]
    if not records:
        raise DataError(f"{path} cannot be read as lines of text", "a header and rows", "Check the file")
    dialect = replace(dialect, header=names_columns(records) if header is None else header)
    first, notes = _first_row(records, dialect, header)
    if len(first) > MOST_COLUMNS:
        raise DataError(
            f"the first line of {path} has {len(first):,} {dialect.delimiter_name}-separated fields",
            f"at most {MOST_COLUMNS:,} columns",
            "Check what separates the fields and name it with --delimiter, or leave columns out",
        )
    names = column_names(first)
    if dialect.broken:
        table, skipped = _read_line_by_line(data, dialect, names)
    else:
        table, skipped = _read_blocks(data, dialect, names, path)
    total = table.num_rows + len(skipped)
    if len(skipped) > max(3, total // 10):
        raise DataError(
            f"{len(skipped):,} of {total:,} rows of {path} do not have {len(names)} fields, "
            f"first at row {skipped[0]}",
            f"{len(names)} {dialect.delimiter_name}-separated fields in every row ({', '.join(names[:8])})",
            "Put values that hold the separator in quotation marks",
        )
    return (table if stand_in is None else restore_returns(table, stand_in)), dialect, tuple(skipped), notes


def _first_row(records: Sequence[list[str]], dialect: Dialect, header: bool | None) -> tuple[list[str], list[str]]:
    """What names the columns, blank where nothing does, and what is to be said of it."""
    first, rest = records[0], records[1:]
    if not dialect.header:
        return [""] * len(first), []
    if header is None and _counts_columns(first):
        return first, [f"its first row {', '.join(first[:3])}{', ...' if len(first) > 3 else ''} names the columns"
                       " (--header no says otherwise)"]  # fmt: skip
    if not _lacks_a_name(records):
        return first, [] if first[0].strip() or len(first) == 1 else ["its first column has no name"]
    if not any(record[-1].strip() for record in rest):
        return [*first, ""], ["every row ends with a delimiter"]
    if len({record[0] for record in rest}) == len(rest):
        return [_ROW_NAME, *first], [f"row names as R writes them are the column {_ROW_NAME!r}"]
    return first, []


def find_dialect(data: pa.Buffer, sample: str, ending: str) -> Dialect:
    """Separator from the first lines; quoting from the whole file."""
    preferred = "\t" if ending in (".tsv", ".tab") else ","
    ranked = []
    for delimiter in _CANDIDATES:
        dialect = _quoting(pa.py_buffer(sample.encode()), delimiter)
        counts = [len(record) for record in _records(sample, dialect) if record]
        width, agreeing = Counter(counts).most_common(1)[0] if counts else (0, 0)
        if width >= 2 and counts[0] == width and agreeing >= 0.8 * len(counts):
            ranked.append((round(agreeing / len(counts), 2), delimiter == preferred, width, delimiter))
    if ranked:
        return _quoting(data, max(ranked)[3])
    for delimiter in (preferred, *_CANDIDATES, " "):
        dialect = _quoting(pa.py_buffer(sample.encode()), delimiter)
        records = _records(sample, dialect)
        # R separates fields by blanks and quotes texts; a text of words without quotes has blanks too
        if _lacks_a_name(records) and (delimiter != " " or dialect.quote is not None):
            return _quoting(data, delimiter)
    # no separator fits: a ragged file, or one column
    return _quoting(data, preferred if preferred in sample.split("\n", 1)[0] else NO_DELIMITER)


def _lacks_a_name(records: Sequence[Sequence[str]]) -> bool:
    """Whether every row has a field more than the first, which names two or more: R's, or a delimiter at the end."""
    first, rest = len(records[0]) if records else 0, records[1:-1]  # the sample may end inside the last
    return bool(rest) and first > 1 and all(len(record) == first + 1 for record in rest)


def _quoting(data: pa.Buffer, delimiter: str) -> Dialect:
    """Whether quotation marks quote: only where all of them stand where the rule wants them.

    A stray mark makes a reader swallow lines. So marks are read as plain characters where the rule is
    broken, or where it would join lines that have the right number of fields each.
    """
    plain = Dialect(delimiter=delimiter, quote=None)
    values = np.frombuffer(data, np.uint8)
    marks = positions(values, ord('"'))
    if not len(marks):
        return plain
    breaks = positions(values, ord("\n"))
    for escape in (None, "\\"):
        quoting = marks
        if escape is not None:
            quoting = marks[values[np.maximum(marks - 1, 0)] != ord(escape)]
        if _well_formed(values, quoting, delimiter):
            joins = np.searchsorted(breaks, quoting[1::2]) > np.searchsorted(breaks, quoting[0::2])
            if joins.any() and delimiter != NO_DELIMITER and _lines_agree(values, breaks, delimiter):
                return plain
            return Dialect(delimiter=delimiter, escape=escape, multiline=bool(joins.any()))
    if delimiter == NO_DELIMITER or _lines_agree(values, breaks, delimiter):
        return plain
    return Dialect(delimiter=delimiter, broken=True)


def _well_formed(values: npt.NDArray[np.uint8], marks: Positions, delimiter: str) -> bool:
    """Every opening mark begins a field and every closing one ends it (RFC 4180; a doubled one does both)."""
    if len(marks) % 2:
        return False
    before = np.where(marks[0::2] > 0, values[np.maximum(marks[0::2] - 1, 0)], ord("\n"))
    last = len(values) - 1
    after = np.where(marks[1::2] < last, values[np.minimum(marks[1::2] + 1, last)], ord("\n"))
    edges = np.frombuffer(f'{delimiter}\r\n"'.encode(), np.uint8)
    return bool(np.isin(before, edges).all() and np.isin(after, edges).all())


def _lines_agree(values: npt.NDArray[np.uint8], breaks: Positions, delimiter: str) -> bool:
    """Whether all lines but blank ones have the same number of fields, two or more, without any quoting."""
    ends = np.append(breaks, len(values))
    starts = np.concatenate(([0], ends[:-1] + 1))
    cuts = np.searchsorted(positions(values, ord(delimiter)), ends)
    counts = np.diff(cuts, prepend=0)
    lengths = ends - starts
    blank = (lengths <= 0) | ((lengths == 1) & (values[np.minimum(starts, len(values) - 1)] == 13))
    counts = counts[~blank]
    return bool(len(counts) and counts[0] >= 1 and (counts == counts[0]).all())


def _sample(data: pa.Buffer) -> str:
    """The first lines, whole ones where there is more than one."""
    head = data[:_SAMPLE_BYTES].to_pybytes()
    if len(data) > _SAMPLE_BYTES and b"\n" in head:
        head = head[: head.rindex(b"\n") + 1]
    text: str = head.decode("utf-8", "ignore")
    return text.replace("\r\n", "\n")


def _records(sample: str, dialect: Dialect) -> list[list[str]]:
    """The sample's records, those of a quoted line break whole; up to the first that cannot be read."""
    records: list[list[str]] = []
    # not splitlines: a text may hold what Python takes for a line break
    lines = [line + "\n" for line in sample.split("\n")] if dialect.quote else sample.split("\n")
    limit = csv.field_size_limit(_SAMPLE_BYTES * 2)
    try:
        reader = csv.reader(
            lines,
            delimiter=dialect.delimiter,
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            escapechar=dialect.escape,
            doublequote=dialect.escape is None,
        )
        records.extend(record for record in reader if record)
    except csv.Error:
        pass
    finally:
        csv.field_size_limit(limit)
    return records


def names_columns(records: Sequence[Sequence[str]]) -> bool:
    """Whether the first record names columns: no numbers, no sentences, no values of their column."""
    first, rest = records[0], records[1:]
    if _counts_columns(first) and any(
        (cells := [record[place].strip() for record in rest if len(record) > place and record[place].strip()])
        and not any(map(_NUMBER.match, cells))
        for place, cell in enumerate(first)
        if cell.strip()
    ):
        return True
    if any(_NUMBER.match(cell.strip()) for cell in first):
        return False
    for place, cell in enumerate(first):
        if len(cell) > 80 or (len(cell.split()) >= 6 and cell.strip()[-1:] in ".?!"):
            return False
        column = Counter(record[place] for record in rest if len(record) > place)
        # a value that comes back among few values, such as "ham" over a column of ham and spam
        if cell.strip() and column[cell] >= 2 and len(column) <= max(2, len(rest) // 5):
            return False
    return True


def _counts_columns(cells: Sequence[str]) -> bool:
    """Whether the cells are 0, 1, 2, ..., as pandas names columns that have no names; a blank one names its index."""
    plain = [cell.strip() for cell in cells]
    plain = plain[1:] if plain and plain[0].lower() in ("", "index", "unnamed: 0") else plain
    return bool(plain) and plain == [str(number) for number in range(len(plain))]


def column_names(cells: list[str]) -> list[str]:
    """Names without surrounding blanks; `column_1` where there is none; a repeated one gets a number."""
    return distinct_names([cell.strip() or f"column_{number}" for number, cell in enumerate(cells, 1)])


def distinct_names(given: Sequence[str]) -> list[str]:
    """The names, a repeated one with a number."""
    names: dict[str, None] = {}
    copies: Counter[str] = Counter()
    for base in given:
        name = base
        while name in names:
            copies[base] += 1
            name = f"{base}_{copies[base] + 1}"
        names[name] = None
    return list(names)


def _read_blocks(data: pa.Buffer, dialect: Dialect, names: list[str], path: Path) -> tuple[pa.Table, list[int]]:
    for attempt, block in enumerate(_BLOCK_BYTES):
        try:
            return _parse(data, dialect, names, block, f"reading {path.name}")
        except pa.ArrowInvalid as error:
            if "straddl" in str(error) and attempt == 0:
                continue
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{path} could not be read as {dialect.delimiter_name}-separated text: {reason}",
                "one row a line, each under 256 MiB",
                "Check the file",
            ) from None
    raise AssertionError("unreachable")


def _parse(data: pa.Buffer, dialect: Dialect, names: list[str], block: int, what: str) -> tuple[pa.Table, list[int]]:
    numbers: list[int] = []

    def skip(row: pacsv.InvalidRow) -> str:
        numbers.append(-1 if row.number is None else row.number - 1 - dialect.header)
        return "skip"

    def read(threads: bool) -> pa.Table:
        numbers.clear()
        batches = pacsv.open_csv(
            pa.BufferReader(data),
            read_options=pacsv.ReadOptions(
                column_names=names,
                skip_rows_after_names=int(dialect.header),
                block_size=block,
                use_threads=threads,
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote or False,
                double_quote=dialect.escape is None,
                escape_char=dialect.escape or False,
                newlines_in_values=dialect.multiline,
                ignore_empty_lines=dialect.delimiter != NO_DELIMITER,
                invalid_row_handler=skip,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
        return mapped(batches.schema, counted(batches, what, len(data) / block))

    table = read(threads=True)
    if numbers:  # their numbers are known to a reader with one thread only
        table = read(threads=False)
    return table, sorted(numbers)


def _read_line_by_line(data: pa.Buffer, dialect: Dialect, names: list[str]) -> tuple[pa.Table, list[int]]:
    """Rows of a file whose quotation marks are broken.

    A record over several lines is taken apart again where each of its lines has the right number of fields:
    it was a stray mark that joined them.
    """
    lines = data.to_pybytes().decode("utf-8").replace("\r\n", "\n").split("\n")
    limit = csv.field_size_limit(2**31 - 1)
    rows: list[list[str]] = []
    skipped: list[int] = []
    number = -int(dialect.header)
    try:
        reader = csv.reader((line + "\n" for line in lines), delimiter=dialect.delimiter)
        begin = 0
        for record in reader:
            piece, begin = lines[begin : reader.line_num], reader.line_num
            if not any(piece):
                continue
            apart = [line.split(dialect.delimiter) for line in piece if line]
            joined = len(piece) > 1 and all(len(cells) == len(names) for cells in apart)
            for cells in apart if joined else [record]:
                if number >= 0 and len(cells) == len(names):
                    rows.append([cell.rstrip("\r\n") for cell in cells])
                elif number >= 0:
                    skipped.append(number)
                number += 1
    finally:
        csv.field_size_limit(limit)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    arrays = [pa.array(list(chain(column)), pa.string()) for column in columns]
    return pa.Table.from_arrays(arrays, names=names), skipped
