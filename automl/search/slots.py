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

    memory: bytes that each worker is promised, 0 where nobody has said.
    automatic: one a GPU to begin with, then as many as what they held allows (see `shared`).
    follows: there are more or fewer as nodes come and go; not so where the user has said how many.
    """

    count: int
    cpus: float
    gpus: float
    workers: int = 1
    mode: WorkersMode = "train"
    automatic: bool = False
    memory: float = 0.0
    follows: bool = False

    def shared(self, measured: Mapping[str, tuple[int, int]]) -> Slots:
        """The slots of as many trials a GPU as the measured memory allows."""
        peaks, sizes = zip(*measured.values(), strict=True)
        trials = trials_that_fit(peaks, min(sizes), int(self.cpus))
        cpus = int(self.cpus) // trials
        return replace(self, count=self.count * trials, cpus=cpus, gpus=1 / trials, automatic=False)

    def on(self, nodes: Sequence[Mapping[str, float]]) -> Slots:
        """The slots of the same kind that these nodes have room for; nodes: what each of them has in all."""
        if not self.follows:
            return self
        room = sum(workers_that_fit(node, self.per_worker) for node in nodes) // self.workers
        return replace(self, count=max(1, room))

    @property
    def starts_its_workers(self) -> bool:
        """Whether a trial is only the launcher of a Ray Train group, which holds the resources."""
        return self.workers > 1 and self.mode == "train"

    @property
    def per_worker(self) -> dict[str, float]:
        return _bundle(self.cpus, self.gpus, self.memory)


def _bundle(cpus: float, gpus: float, memory: float) -> dict[str, float]:
    asked = {"CPU": cpus, "GPU": gpus, "memory": memory}
    return {name: value for name, value in asked.items() if value or name == "CPU"}


def amounts(resources: Mapping[str, float], times: int = 1) -> str:
    """Resources in words: '4 CPUs, 0.5 GPU'."""
    told = []
    for name in ("CPU", "GPU"):
        if value := resources.get(name, 0) * times:
            told.append(f"{value:g} {name}{'s' if value > 1 else ''}")
    if memory := resources.get("memory", 0) * times:
        told.append(f"{memory / 2**30:.1f} GiB of memory")
    return ", ".join(told)


def workers_that_fit(node: Mapping[str, float], per_worker: Mapping[str, float]) -> int:
    """How many workers with these resources a node holds at a time."""
    return min(int(node.get(name, 0.0) / value + 1e-6) for name, value in per_worker.items())


def plan_slots(
    nodes: Sequence[Mapping[str, float]],
    slots: int | None,
    workers: int,
    mode: WorkersMode = "train",
    trials_per_gpu: int | Literal["auto"] | None = None,
    cpus: int | None = None,
    gpus: float | None = None,
    memory: float = 0.0,
    more_may_come: bool = False,
) -> Slots:
    """The slots that a machine or cluster has room for. Raises RequestError where a trial cannot fit.

    nodes: what each node has in all, in Ray's words. cpus, gpus, memory (bytes): of each worker, where the user says.
    A worker lies on one node, a trial may lie on several. more_may_come: an autoscaler may start nodes that it does
    not tell of, so that what the user has said exactly (slots and gpus) is waited for instead of refused.
    """
    has_gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    sharing = trials_per_gpu if isinstance(trials_per_gpu, int) else 1
    if not has_gpus and sharing > 1:
        raise RequestError(
            f"--trials-per-gpu {trials_per_gpu}, and no GPU is seen",
            "a GPU that trials can share",
            "Leave it out; --slots says how many trials run at a time",
        )
    gpus_asked = gpus is not None
    if gpus is None:
        gpus = _share_of_gpus(nodes, has_gpus, slots, workers, sharing) if has_gpus else 0.0
    wanted = workers if slots is None else slots * workers
    cpus = cpus or _cpus_of_each(nodes, slots, workers, gpus, memory)
    found = Slots(
        count=1, cpus=cpus, gpus=gpus, workers=workers, mode=mode, memory=memory, follows=slots is None,
        automatic=trials_per_gpu == "auto" and slots is None and workers == 1 and has_gpus > 0,
    )  # fmt: skip
    room = sum(workers_that_fit(node, found.per_worker) for node in nodes)
    if room < wanted and not (more_may_come and slots is not None and gpus_asked):
        raise _no_room(nodes, found, wanted)
    return replace(found, count=slots or room // workers)


def _share_of_gpus(
    nodes: Sequence[Mapping[str, float]], has_gpus: int, slots: int | None, workers: int, sharing: int
) -> float:
    """GPUs of each worker: whole ones, all of its node's at most, or a part that divides one."""
    count = slots or max(1, has_gpus * sharing // workers)
    share = has_gpus / (count * workers)
    if share < 1:
        return 1 / math.ceil(1 / share)  # a part of a GPU that does not divide it would leave the rest to nobody
    whole = min(int(share), max(int(node.get("GPU", 0)) for node in nodes))
    while whole > 1 and sum(int(node.get("GPU", 0)) // whole for node in nodes) < count * workers:
        whole -= 1
    return float(whole)


def _cpus_of_each(
    nodes: Sequence[Mapping[str, float]], slots: int | None, workers: int, gpus: float, memory: float
) -> int:
    """CPUs of each worker, one at least: what nodes have, shared evenly by the workers that they hold."""
    total = sum(int(node.get("CPU", 0)) for node in nodes)
    if slots is None and gpus:
        held = [(node, workers_that_fit(node, _bundle(1, gpus, memory))) for node in nodes]
        return min((int(node.get("CPU", 0)) // fit for node, fit in held if fit), default=1)
    wanted = slots * workers if slots is not None else max(1, total // workers) * workers
    most = max(1, total // wanted)
    while most > 1 and sum(workers_that_fit(node, _bundle(most, gpus, memory)) for node in nodes) < wanted:
        most -= 1
    return most


def _no_room(nodes: Sequence[Mapping[str, float]], asked: Slots, wanted: int) -> RequestError:
    has = "; ".join(amounts(node) or "nothing" for node in nodes) or "none"
    each = amounts(asked.per_worker)
    return RequestError(
        f"{wanted} workers at a time with {each} each need {amounts(asked.per_worker, wanted)} in all",
        f"no more than the nodes have ({has}), which is what Ray sees",
        "Take fewer slots, workers, CPUs or GPUs, or start larger nodes",
    )


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
