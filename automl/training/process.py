"""A process that trains: its device and its share of it, its threads, and its memory between two trainings."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.registry import parts
from automl.tasks.base import Task
from automl.training.adapters import import_for
from automl.training.memory import release_unused

CONTEXT_BYTES = 2**30
"""What a process holds of a GPU before its first tensor: CUDA's context, its kernels, and those of its libraries."""


def trial_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_device(device: torch.device) -> None:
    """Make it the one that `torch.cuda` means where no device is named: seeds, limits and streams go there.

    Workers of one machine may all see all of its GPUs; without this each would hold memory on the first as well.
    """
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def warm_process(adaptation: str, device: torch.device | None = None) -> None:
    """Import what a training needs, before its clock starts. device: where it trains, the process's own by default.

    Seconds of importing would be charged to whichever contender happens to be the first in a new process.
    """

    from automl.models.base import ModelFamily

    parts("automl.tasks", Task)  # type: ignore[type-abstract]
    parts("automl.models", ModelFamily)  # type: ignore[type-abstract]
    import_for(adaptation)
    device = device or trial_device()
    use_device(device)
    torch.ones(8, 8, device=device, requires_grad=True).matmul(torch.ones(8, 8, device=device)).sum().backward()
    _keep_what_is_imported()


@cache
def _keep_what_is_imported() -> None:
    """Spare collections between trainings a look at the 240,000 objects of imports: 0.3 s each, now 0.03."""
    gc.collect()
    gc.freeze()


def free_memory() -> None:
    """Give back what the training before left in this process, however it ended.

    Ray runs each training in a new thread, and glibc keeps a heap a thread: without trimming, a process that
    serves trial after trial grows by hundreds of megabytes.
    """
    release_unused()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a C library without malloc_trim
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def keep_to_share(gpus: float) -> None:
    """Let a process that shares its GPU run out of memory at its own share, before it takes from the others."""
    if torch.cuda.is_available() and 0 < gpus < 1:
        total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        torch.cuda.set_per_process_memory_fraction(fraction_for_tensors(gpus, total))


def fraction_for_tensors(gpus: float, total_bytes: int) -> float:
    """What fraction of a GPU a process may fill with tensors whose share of it is `gpus`.

    torch's limit counts tensors alone, so all shares together with all contexts would be more than there is.
    """
    return max(gpus - CONTEXT_BYTES / total_bytes, gpus / 2)


def set_threads(cpus: int = 1) -> None:
    """As many torch threads as OMP_NUM_THREADS says, where Ray puts the trial's CPUs unless the user has set it.

    cpus: what the trial has, for a value that says nothing.
    """
    torch.set_num_threads(threads_asked(os.environ.get("OMP_NUM_THREADS", "")) or cpus)


def threads_asked(value: str) -> int | None:
    """The threads of the outermost level in a value of OMP_NUM_THREADS, such as '4' or '4,2'; None for other values.

    Source: OpenMP 5.2, 21.1.2: a list of positive numbers, one for each level that is nested in another.
    """
    first = value.partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device, on its way while the host goes on.

    From memory that is not pinned the copy would wait for all that the device still has to do, and the device then
    for the host.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def batch_on_device(
    task: Task,
    rows: Sequence[Mapping[str, NDArray[Any]]],
    labels: NDArray[np.int64] | None,
    padding: Mapping[str, int],
    device: torch.device,
) -> dict[str, Tensor]:
    """Encoded rows as a batch of model inputs on the device. padding: the value that fills each field."""
    batch = task.collate(rows, labels, padding)
    return task.unpack({name: to_device(value, device) for name, value in batch.items()})
