"""Long work on rows, a piece at a time: its memory does not grow with the rows, and it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

PIECE_ROWS = 100_000
PIECE_BYTES = 1 << 24
Listener = Callable[[str, int, int], None]
"""Told what is being done, and how many of how many rows are; the first time with none."""
Sliced = TypeVar("Sliced", pa.Table, pa.ChunkedArray)
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def telling(listener: Listener) -> Iterator[None]:
    """Tell `listener` how far the work is that goes on inside."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def hush() -> None:
    """Tell nobody of what is still to come: another view has the terminal now."""
    _listener.set(None)


def tell(what: str, done: int, rows: int) -> None:
    listener = _listener.get()
    if listener is not None:
        listener(what, done, rows)


def pieces(rows: Sliced, what: str | None = None, size: int | None = None) -> Iterator[Sliced]:
    """The rows in slices, at least one. what: what is done with them, to be told.

    size: their rows; by default PIECE_ROWS, or as many as have PIECE_BYTES on average.
    """
    size = size or _piece_rows(rows)
    for start in range(0, max(len(rows), 1), size):
        if what is not None:
            tell(what, start, len(rows))
        yield rows.slice(start, size)
    if what is not None:
        tell(what, len(rows), len(rows))


def _piece_rows(rows: Sliced) -> int:
    return max(1, min(PIECE_ROWS, PIECE_BYTES * len(rows) // max(int(rows.nbytes), 1)))


def counted(batches: Iterable[pa.RecordBatch], what: str, count: float) -> Iterator[pa.RecordBatch]:
    """The batches as they are; it is told how many rows have come, of how many if `count` batches are to come."""
    done = 0
    for number, batch in enumerate(batches, 1):
        yield batch
        done += batch.num_rows
        tell(what, done, max(done + 1, round(done * count / number)))
    tell(what, done, done)


def rows_at(rows: Sliced, places: npt.NDArray[np.int64]) -> Sliced:
    """The rows at some places, in the order of these; only what is chosen is copied.

    Arrow's own `take` joins the chunks of a column first: it copies the column, and fails where its text has 2 GiB.
    """
    ordered = bool((np.diff(places) >= 0).all())
    order = np.argsort(places, kind="stable")
    wanted = places if ordered else places[order]
    chunks: list[Any] = rows.to_batches() if isinstance(rows, pa.Table) else rows.chunks
    ends = np.cumsum([0, *map(len, chunks)])
    cuts = np.searchsorted(wanted, ends)
    found = [
        chunk.take(pa.array(wanted[first:last] - start))
        for chunk, start, first, last in zip(chunks, ends[:-1], cuts[:-1], cuts[1:], strict=True)
        if last > first
    ]
    if isinstance(rows, pa.Table):
        chosen = pa.Table.from_batches(found, rows.schema)
    else:
        chosen = pa.chunked_array(found, rows.type)
    return chosen if ordered else chosen.take(pa.array(np.argsort(order)))


def taken(rows: Sliced, places: npt.NDArray[np.int64], what: str | None = None) -> Iterator[Sliced]:
    """The rows at some places in pieces of as many as `pieces` makes by default. what: as there."""
    size = _piece_rows(rows)
    for start in range(0, max(len(places), 1), size):
        if what is not None:
            tell(what, start, len(places))
        yield rows_at(rows, places[start : start + size])
    if what is not None:
        tell(what, len(places), len(places))


def evenly(rows: int, most: int) -> npt.NDArray[np.int64]:
    """Places of at most so many rows from the first to the last, as far apart as each other; ascending."""
    return np.linspace(0, rows - 1, min(rows, most)).astype(np.int64)


def by_pieces(work: Callable[..., npt.NDArray[Any]], rows: Sliced, what: str | None = None) -> npt.NDArray[Any]:
    """What `work` makes of every piece, one value a row, end to end."""
    return np.concatenate([work(piece) for piece in pieces(rows, what)])
