"""How many rows go through a model at once: as many as memory allows, found out by running out of it."""

from __future__ import annotations

import gc
import math
import re
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

OUT_OF_MEMORY = (torch.OutOfMemoryError, MemoryError)
_ALLOCATION_FAILED = re.compile(r"DefaultCPUAllocator: can't allocate memory|^could not create a primitive$")
"""What a plain RuntimeError says where the host's memory ends: torch's allocator, or oneDNN before it gets so far."""


class NotOneRow(MemoryError):
    """Not even one row at a time fits; all workers know."""


def is_out_of_memory(problem: BaseException) -> bool:
    return isinstance(problem, OUT_OF_MEMORY) or (
        isinstance(problem, RuntimeError) and _ALLOCATION_FAILED.search(str(problem)) is not None
    )


def release_unused() -> None:
    """Give back what died tensors held, on the device too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class RowsAtOnce:
    """The most rows that go through a model at once, on each worker. It only ever shrinks.

    rows: None until memory ran out for the first time. notes: what the user reads of it.
    """

    def __init__(self, rows: int | None, notes: list[str]) -> None:
        self.rows, self._notes = rows, notes

    def split(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """The rows in order, in as few pieces as are allowed, of nearly equal size.

        A last piece of one row alone would have no variance for a batch norm.
        """
        yield from np.array_split(rows, math.ceil(len(rows) / (self.rows or len(rows))))

    def halve(self, tried: int, where: str) -> None:
        """Allow half of what was tried. Raises NotOneRow where that was one row. where: for the note."""
        tried = min(tried, self.rows or tried)
        if tried <= 1:
            raise NotOneRow(f"out of memory {where}, with one row at a time")
        self.rows = math.ceil(tried / 2)
        self._notes.append(f"out of memory {where} with {tried} rows at a time: from then on {self.rows} at a time")
        release_unused()
