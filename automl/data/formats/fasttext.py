"""fastText's training files: `__label__spam some text`, a text a line."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from automl.data.encoding import lines_of, read_text
from automl.data.formats.base import Format
from automl.data.mapped import mapped
from automl.data.pieces import PIECE_ROWS
from automl.data.rows import ReadOptions, Rows
from automl.errors import DataError

_PREFIX = "__label__"
_LABEL = re.compile(rf"\s*{_PREFIX}(\S+)")
_SCHEMA = pa.schema([("text", pa.string()), ("label", pa.string())])


class FastText(Format):
    """A line becomes a row: its `label`, missing where it has none, and its `text`."""

    name = "fastText lines"
    endings = ()
    beginnings = (_PREFIX.encode(), codecs.BOM_UTF8 + _PREFIX.encode())
    takes = ("encoding",)

    def read(self, path: Path, options: ReadOptions) -> Rows:
        data, encoding, mark = read_text(path, options.encoding)
        lines = lines_of(data.to_pybytes().decode("utf-8"))
        table = mapped(_SCHEMA, _batches(lines, path))
        return Rows.of(table, path, format=self.name, encoding=encoding, byte_order_mark=mark)


def _batches(lines: list[str], path: Path) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(lines), PIECE_ROWS):
        rows = [
            _row(line, number, path)
            for number, line in enumerate(lines[start : start + PIECE_ROWS], start + 1)
            if line.strip()
        ]
        yield pa.RecordBatch.from_arrays(
            [pa.array([row[place] for row in rows], pa.string()) for place in range(2)], schema=_SCHEMA
        )


def _row(line: str, number: int, path: Path) -> tuple[str, str | None]:
    """The text and the label of a line. Raises DataError where it has several labels."""
    labels, end = [], 0
    while match := _LABEL.match(line, end):
        labels.append(match[1])
        end = match.end()
    if len(labels) > 1:
        raise DataError(
            f"line {number:,} of {path} has {len(labels)} labels: {', '.join(labels[:5])}",
            "one label a line",
            "Keep the label that each text has first, or leave lines with several out",
        )
    return line[end:].strip(" \t"), labels[0] if labels else None
