"""One worker's side of a training: its process made ready, the training run, everything told, however it ends."""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from time import monotonic
from typing import Any, Protocol

import ray
import torch
from torch import Tensor

from automl.errors import AutoMLError, is_full_disk, one_line
from automl.leaderboard.store import RunFolder
from automl.training.clock import SlotClock
from automl.training.context import Outcome, Report
from automl.training.exchange import tells_of_a_broken_exchange
from automl.training.fit import Diverged, Training
from automl.training.memory import NotOneRow, is_out_of_memory, peak_memory_bytes, reset_peak_memory
from automl.training.process import free_memory, set_threads, trial_device
from automl.training.resources import Meter, of_all_workers
from automl.types import TrialSpec

DISK_FULL = "disk_full"
"""How a training says that it has to wait for space: it is no result, and it runs again."""
LOOK_SECONDS = 5.0
"""How often a worker asks whether its node is about to be taken away."""
KNOWN_TO_ALL = (Diverged, NotOneRow)
"""What every worker of a training raises at the same point."""


def cpus_of_this_process() -> int:
    """What Ray has given to the training that runs here; 1 in a process that is no worker of Ray."""
    if not ray.is_initialized():
        return 1
    context = ray.get_runtime_context()
    in_worker = context.worker.mode == ray.WORKER_MODE  # elsewhere Ray knows of no share
    return max(1, int(context.get_assigned_resources().get("CPU", 1))) if in_worker else 1


class ExchangeBroken(Exception):
    """Workers could not tell each other something: one is gone, or silent for too long."""


class WorkerLost(Exception):
    """A worker's process died in the middle of a training."""


class TrialContext:
    """A worker whose reports go straight to Ray Tune or Ray Train, which may end the training inside them."""

    def __init__(
        self, clock: SlotClock, send: Callable[[dict[str, Any]], None], rank: int = 0, world: int = 1
    ) -> None:
        self.rank, self.world = rank, world
        self.device = trial_device()
        self._clock, self._send = clock, send
        self._next_look, self._leaves = 0.0, False
        self._meter: Meter | None = None

    @property
    def leaving(self) -> bool:
        """Whether Ray has been told that this node goes, as a spot machine does after its notice."""
        if monotonic() >= self._next_look:
            from ray._private.state import state

            self._next_look = monotonic() + LOOK_SECONDS
            self._leaves = ray.get_runtime_context().get_node_id() in state.get_draining_nodes()
        return self._leaves

    def watch(self) -> None:
        """Look at what this process takes of its machine, from now on."""
        self._meter = Meter(self.device, partial(gpu_percent, self.device))
        self._clock.on_tick = self._meter.look

    def report(self, report: Report) -> None:
        self._tell(report, self._resources(report))

    def _resources(self, report: Report) -> list[dict[str, float]]:
        """What all workers took since the evaluation before; every worker calls it."""
        samples = self._meter.take(report.row["samples_seen"]) if self._meter is not None else []
        return of_all_workers(samples, self.rank, self.world, self.device, self.add_up)

    def _tell(self, report: Report, resources: list[dict[str, float]]) -> None:
        self._clock.beat()
        message = {"event": "evaluation", **_told(report), **told_so_far(self._clock, self.device)}
        self._send({**message, "resources": resources})
        self._clock.resume()

    def add_up(self, values: Tensor) -> None:
        if self.world == 1:
            return
        try:
            torch.distributed.all_reduce(values)
        except RuntimeError as problem:
            raise ExchangeBroken(" ".join(str(problem).split())) from problem


def _told(report: Report) -> dict[str, Any]:
    return {
        "row": report.row,
        "earlier": list(report.earlier),
        "rung": report.rung,
        "value": report.value,
        "error_of_value": report.error,
        "notes": list(report.notes),
        "micro_batch": report.micro_batch,
    }


class TrainsSpec(Protocol):
    """What a worker does with a spec: `train_spec`, or something around it."""

    def __call__(
        self,
        spec: TrialSpec,
        workers: int,
        send: Callable[[dict[str, Any]], None],
        make_context: Callable[[SlotClock, Callable[[dict[str, Any]], None]], TrialContext] = ...,
    ) -> None: ...


def train_spec(
    spec: TrialSpec,
    workers: int,
    send: Callable[[dict[str, Any]], None],
    make_context: Callable[[SlotClock, Callable[[dict[str, Any]], None]], TrialContext] = TrialContext,
) -> None:
    """Run one training and send its evaluations and, always, one last message that tells how it ended."""
    free_memory()
    folder = RunFolder(spec.run_directory)
    clock = SlotClock(folder.heartbeats / f"{spec.id}.json", workers)
    set_threads(cpus_of_this_process())
    context = make_context(clock, send)
    if context.rank > 0:
        clock.silence()
    reset_peak_memory(context.device)
    context.watch()
    status, error, outcome = "completed", None, Outcome()
    training: Training | None = None
    try:
        training = Training(spec, context, clock)
        outcome = training.run()
    except Exception as problem:
        if context.world > 1 and not isinstance(problem, KNOWN_TO_ALL):
            if tells_of_a_broken_exchange(problem):
                raise ExchangeBroken(one_line(problem)) from problem
            raise  # the other workers wait in an exchange: only the end of the group frees them
        status, error = how_it_failed(problem)
        outcome = Outcome(notes=training.outcome.notes if training is not None else [])
    clock.tick()
    clock.beat()
    send({
        "event": "end",
        "status": status,
        "error": error,
        **told_so_far(clock, context.device),
        "metrics": outcome.metrics,
        "predictions_file": outcome.predictions_file,
        "model_dir": outcome.model_dir,
        "notes": outcome.notes,
        "micro_batch": training.at_once.rows if training is not None else None,
        "parameters": outcome.parameters or None,
        "trainable_parameters": outcome.trainable_parameters or None,
    })  # fmt: skip


def told_so_far(clock: SlotClock, device: torch.device) -> dict[str, Any]:
    """What every message says: so a training that is stopped or killed has told it too."""
    return {
        "spent": dict(clock.spent),
        "peak_memory_bytes": peak_memory_bytes(device),
        "environment": describe_place(device),
    }


def how_it_failed(problem: BaseException) -> tuple[str, str]:
    """Status and one-line reason of a training that raised; a surprise leaves its traceback in the log."""
    if is_out_of_memory(problem):
        return "out_of_memory", one_line(problem)
    if is_full_disk(problem):
        return DISK_FULL, one_line(problem)
    if isinstance(problem, Diverged | AutoMLError):
        return "failed", str(problem)
    traceback.print_exc()
    return "failed", one_line(problem)


def gpu_percent(device: torch.device) -> float:
    """How busy a GPU was in the last moments; NaN where it does not say, as a part of one (MIG) does not."""
    try:
        from ray._private.thirdparty import pynvml  # as private as it looks: nothing but this reading hangs on it

        pynvml.nvmlInit()
    except Exception:
        return math.nan
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode())
        return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except (pynvml.NVMLError, AttributeError):
        return math.nan


def describe_place(device: torch.device) -> dict[str, Any]:
    """Where a training ran: every line of trials.jsonl carries it."""
    import socket

    from automl.models.blocks import autocast_dtype
    from automl.provenance import cpu_model, versions_sha

    precision = autocast_dtype(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    if device.type == "cuda":
        kind: dict[str, Any] = {"gpu_bytes": torch.cuda.get_device_properties(device).total_memory}
    else:
        kind = {"cpu": cpu_model()}  # device-seconds of another kind are others, as they are of another GPU
    return kind | {
        "node_id": ray.get_runtime_context().get_node_id() if ray.is_initialized() else "",
        "hostname": socket.gethostname(),
        "device": name,
        "threads": torch.get_num_threads(),
        "precision": "float32" if precision is None else str(precision).removeprefix("torch."),
        "versions_sha": versions_sha(),
    }


@contextmanager
def own_log(spec: TrialSpec, rank: int = 0) -> Iterator[None]:
    """What a worker prints goes into the run folder's logs; nothing is left where it printed nothing."""
    file = RunFolder(spec.run_directory).logs / "trials" / f"{spec.id}{f'.{rank}' if rank else ''}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        yield
    if file.stat().st_size == 0:
        file.unlink()


def told_as_json(report: Callable[..., None]) -> Callable[[dict[str, Any]], None]:
    """Send a message as one string: Ray flattens nested results on their way."""
    return lambda message: report({"told": json.dumps(message)})
