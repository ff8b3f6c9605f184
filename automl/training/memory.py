"""How many rows go through a model at once: as many as memory allows, found out by running out; and its peak."""

from __future__ import annotations

import gc
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

OUT_OF_MEMORY = (torch.OutOfMemoryError, MemoryError)
_ALLOCATION_FAILED = re.compile(
    r"DefaultCPUAllocator: can't allocate memory|^could not create a primitive$"
    r"|CUDA error: out of memory|CU(BLAS|DNN|SPARSE)_STATUS_ALLOC_FAILED|Cuda failure \d+ 'out of memory'"
)
"""What a plain RuntimeError says where memory ends: torch's allocator on the host, or oneDNN before it gets so far;
CUDA itself and its libraries, which take what they need of a GPU beside torch's allocator (the last is NCCL's)."""


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

    def split(self, rows: NDArray[np.int64], most: int | None = None) -> Iterator[NDArray[np.int64]]:
        """The rows in order, in as few pieces as are allowed, of nearly equal size.

        A last piece of one row alone would have no variance for a batch norm.
        most: as many pieces as so many rows would make; then some may be empty.
        """
        most = most or len(rows)
        yield from np.array_split(rows, math.ceil(most / (self.rows or most)))

    def lower(self, rows: int | None) -> None:
        """Allow no more than so many, None for all."""
        self.rows = min((limit for limit in (self.rows, rows) if limit is not None), default=None)

    def halve(self, tried: int, where: str) -> None:
        """Allow half of what was tried. Raises NotOneRow where that was one row. where: for the note."""
        tried = min(tried, self.rows or tried)
        if tried <= 1:
            raise NotOneRow(f"out of memory {where}, with one row at a time")
        self.rows = math.ceil(tried / 2)
        self._notes.append(f"out of memory {where} with {tried} rows at a time: from then on {self.rows} at a time")
        release_unused()


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory held since `reset_peak_memory`: of the device where it has its own, else of the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak_memory(device: torch.device, clear_refs: Path = Path("/proc/self/clear_refs")) -> None:
    """Start counting the peak anew; a process that serves trial after trial would report its largest."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        clear_refs.write_text("5")
    except OSError:
        return  # not Linux, or not allowed: the peak is then the process's
