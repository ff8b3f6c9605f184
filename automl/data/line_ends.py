"""Where the lines of a delimited file end, and carriage returns that end none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.mapped import mapped, mapped_bytes

SCAN_BYTES = 1 << 26
_SAMPLE_BYTES = 1 << 18
_FEED, _RETURN = ord("\n"), ord("\r")
_STAND_INS = (*range(1, 9), *range(14, 27))
_ALIKE = 0.9
_MOST_PER_FEED = 10
Positions = npt.NDArray[np.int64]


def positions(values: npt.NDArray[np.uint8], byte: int) -> Positions:
    """Where a byte occurs; in pieces, for the comparison takes one byte a byte."""
    pieces = [
        np.flatnonzero(values[start : start + SCAN_BYTES] == byte) + start
        for start in range(0, len(values), SCAN_BYTES)
    ]
    return np.concatenate(pieces) if pieces else np.empty(0, np.int64)


def with_newlines(data: pa.Buffer) -> pa.Buffer:
    """The same text with line feeds, where an old Mac file ends its lines with carriage returns alone."""
    head = data[:_SAMPLE_BYTES].to_pybytes()
    if b"\r" not in head or b"\n" in head:
        return data

    def write(file: IO[bytes]) -> None:
        for start in range(0, len(data), SCAN_BYTES):
            file.write(data[start : start + SCAN_BYTES].to_pybytes().replace(b"\r", b"\n"))

    return mapped_bytes(write)


def guard_returns(data: pa.Buffer, delimiters: Sequence[str]) -> tuple[pa.Buffer, str | None]:
    """The text with another byte for each carriage return that stands inside a line, and that byte as a character.

    A reader of CSV takes them for line ends, and cuts a text in two. None where there are none, and where they do end
    lines and become line feeds: the pieces between them have as many delimiters as the first line.
    """
    values = np.frombuffer(data, np.uint8)
    found = positions(values, _RETURN)
    after = values[np.minimum(found + 1, len(values) - 1)]
    lone = found[(after != _FEED) & (after != _RETURN) & (found < len(values) - 1)]
    if not len(lone):
        return data, None
    if _ends_lines(data[:_SAMPLE_BYTES].to_pybytes(), delimiters):
        return _with_byte(values, lone, _FEED), None
    stand_in = next((byte for byte in _STAND_INS if not len(positions(values, byte))), None)
    return (data, None) if stand_in is None else (_with_byte(values, lone, stand_in), chr(stand_in))


def _with_byte(values: npt.NDArray[np.uint8], places: Positions, byte: int) -> pa.Buffer:
    def write(file: IO[bytes]) -> None:
        for start in range(0, len(values), SCAN_BYTES):
            piece = values[start : start + SCAN_BYTES].copy()
            piece[places[np.searchsorted(places, start) : np.searchsorted(places, start + SCAN_BYTES)] - start] = byte
            file.write(piece.tobytes())

    return mapped_bytes(write)


def _ends_lines(head: bytes, delimiters: Sequence[str]) -> bool:
    lines = [line.rstrip(b"\r") for line in head.split(b"\n")]
    pieces = [piece for line in lines if b"\r" in line for piece in line.split(b"\r") if piece]
    first = head.replace(b"\r", b"\n").split(b"\n", 1)[0]
    for delimiter in delimiters:
        if expected := first.count(delimiter.encode()):
            alike = sum(piece.count(delimiter.encode()) == expected for piece in pieces)
            if pieces and alike >= _ALIKE * len(pieces):
                return True
    return len(pieces) > _MOST_PER_FEED * len(lines) and not any(first.count(each.encode()) for each in delimiters)


def restore_returns(table: pa.Table, stand_in: str) -> pa.Table:
    """The table of texts with its carriage returns again, in its names too."""
    names = [name.replace(stand_in, "\r") for name in table.column_names]

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in table.to_batches():
            columns = [pc.replace_substring(column, stand_in, "\r") for column in batch.columns]
            yield pa.RecordBatch.from_arrays(columns, names=names)

    return mapped(pa.schema([pa.field(name, pa.string()) for name in names]), batches())
