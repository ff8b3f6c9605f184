"""Long work on rows, a piece at a time: its memory does not grow with the rows, and it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

PIECE_ROWS = 100_000
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
    """The rows in slices of `size` (default: PIECE_ROWS), at least one. what: what is done with them, to be told."""
    size = size or PIECE_ROWS
    for start in range(0, max(len(rows), 1), size):
        if what is not None:
            tell(what, start, len(rows))
        yield rows.slice(start, size)
    if what is not None:
        tell(what, len(rows), len(rows))


def taken(rows: Sliced, places: npt.NDArray[np.int64], what: str | None = None) -> Iterator[Sliced]:
    """The rows at some places, which ascend: what is chosen of every piece. what: as in `pieces`.

    A column that is taken from at once is copied whole where it is of several chunks.
    """
    start = 0
    for piece in pieces(rows, what):
        first, last = np.searchsorted(places, (start, start + len(piece)))
        yield piece.take(pa.array(places[first:last] - start))
        start += len(piece)


def by_pieces(work: Callable[..., npt.NDArray[Any]], rows: Sliced, what: str | None = None) -> npt.NDArray[Any]:
    """What `work` makes of every piece, one value a row, end to end."""
    return np.concatenate([work(piece) for piece in pieces(rows, what)])
