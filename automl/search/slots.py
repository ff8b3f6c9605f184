"""How many trainings run at a time on what there is, and what each of them gets."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from automl.config import WorkersMode
from automl.errors import RequestError
from automl.types import TrialResult

USABLE_SHARE = 0.9
"""Of a GPU's memory: the rest is for fragments and for recipes that need more than the measured ones."""
PROCESS_BYTES = 600 * 2**20
"""What a process holds on a GPU besides its tensors: the CUDA context and the libraries' workspaces."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How many trainings run at a time, and what each of them gets.

    automatic: one a GPU to begin with, then as many as what they held allows (see `shared`).
    """

    count: int
    cpus: float
    gpus: float
    workers: int = 1
    mode: WorkersMode = "train"
    automatic: bool = False

    def shared(self, measured: Mapping[str, tuple[int, int]]) -> Slots:
        """The slots of as many trials a GPU as the measured memory allows."""
        peaks, sizes = zip(*measured.values(), strict=True)
        trials = trials_that_fit(peaks, min(sizes), int(self.cpus))
        cpus = int(self.cpus) // trials
        return replace(self, count=self.count * trials, cpus=cpus, gpus=1 / trials, automatic=False)

    @property
    def starts_its_workers(self) -> bool:
        """Whether a trial is only the launcher of a Ray Train group, which holds the resources."""
        return self.workers > 1 and self.mode == "train"

    @property
    def per_worker(self) -> dict[str, float]:
        resources = {"CPU": self.cpus}
        return resources | ({"GPU": self.gpus} if self.gpus else {})


def plan_slots(
    resources: Mapping[str, float],
    slots: int | None,
    workers: int,
    mode: WorkersMode = "train",
    trials_per_gpu: int | Literal["auto"] | None = None,
) -> Slots:
    """The slots that a machine or cluster has room for. Raises RequestError where a trial cannot fit."""
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    if gpus:
        automatic = trials_per_gpu == "auto" and slots is None and workers == 1
        sharing = trials_per_gpu if isinstance(trials_per_gpu, int) else 1
        count = slots or max(1, gpus * sharing // workers)
        share = gpus / (count * workers)
        # a part of a GPU that does not divide it would leave the rest to nobody
        share = float(int(share)) if share >= 1 else 1 / math.ceil(1 / share)
        cpus_each = max(1, cpus // (count * workers))
        return Slots(count=count, cpus=cpus_each, gpus=share, workers=workers, mode=mode, automatic=automatic)
    if isinstance(trials_per_gpu, int) and trials_per_gpu > 1:
        raise RequestError(
            f"--trials-per-gpu {trials_per_gpu}, and no GPU is seen",
            "a GPU that trials can share",
            "Leave it out; --slots says how many trials run at a time",
        )
    count = slots or max(1, cpus // workers)
    if count * workers > cpus:
        raise RequestError(
            f"--slots {count} with --workers {workers} needs {count * workers} CPUs",
            f"at most {cpus}, which is what Ray sees here",
            "Take fewer slots or fewer workers",
        )
    return Slots(count=count, cpus=cpus // (count * workers), gpus=0.0, workers=workers, mode=mode)


def trials_that_fit(peaks: Sequence[int], gpu_bytes: int, cpus_per_gpu: int) -> int:
    """How many trials one GPU holds at a time, one at least; the hungriest of the measured ones decides.

    peaks: bytes of tensors that a trial of each contender held at most. A trial needs a CPU of its own, too.
    """
    needed = max(peaks) + PROCESS_BYTES
    return max(1, min(int(gpu_bytes * USABLE_SHARE) // needed, cpus_per_gpu))


def measured_memory(results: Iterable[TrialResult]) -> dict[str, tuple[int, int]]:
    """By contender: (most bytes that a training held, bytes of the GPU), of those that ran on a GPU."""
    found: dict[str, tuple[int, int]] = {}
    for result in results:
        gpu_bytes = result.environment.get("gpu_bytes")
        if gpu_bytes:
            most, smallest = found.get(result.contender, (0, gpu_bytes))
            peak = max(most, result.cost.peak_memory_bytes)
            found[result.contender] = (peak, min(smallest, gpu_bytes))
    return found


@contextmanager
def starting_at_once(processes: int) -> Iterator[None]:
    """Let Ray Tune start so many processes at a time, unless the user has said how many.

    Left to itself it starts one at a time for a searcher's trials, and asks for no other meanwhile. The process of
    a trial that has ended then goes to the one that waits for its own, which is ended.
    """
    name = "TUNE_MAX_PENDING_TRIALS_PG"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(processes)
    try:
        yield
    finally:
        del os.environ[name]
