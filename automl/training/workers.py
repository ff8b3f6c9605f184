"""Trainings as Ray runs them: inside the trial's own process, or over several Ray Train workers.

A start of Ray Train costs many seconds on a small machine, a reused trial process a tenth of one, so a
trial with one worker trains right in the process that Ray Tune keeps for trial after trial.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import ray
import torch
from ray import cloudpickle, tune
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_put
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from torch import Tensor

from automl.errors import AutoMLError, is_full_disk
from automl.leaderboard.store import RunFolder
from automl.registry import parts
from automl.tasks.base import Task
from automl.training.adapters import import_for
from automl.training.clock import SlotClock
from automl.training.context import Report
from automl.training.fit import Diverged, Outcome, Training, peak_memory_bytes, reset_peak_memory
from automl.training.memory import OUT_OF_MEMORY, NotOneRow, is_out_of_memory
from automl.types import TrialSpec

_GROUPS = b"automl_worker_groups"
DISK_FULL = "disk_full"
"""How a training says that it has to wait for space: it is no result, and it runs again."""
KNOWN_TO_ALL = (Diverged, NotOneRow)
"""What every worker of a training raises at the same point."""


def trial_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def warm_process(adaptation: str) -> None:
    """Import what a training needs, before its clock starts.

    Seconds of importing would be charged to whichever contender happens to be the first in a new process.
    """

    from automl.models.base import ModelFamily

    parts("automl.tasks", Task)  # type: ignore[type-abstract]
    parts("automl.models", ModelFamily)  # type: ignore[type-abstract]
    import_for(adaptation)
    device = trial_device()
    torch.ones(8, 8, device=device, requires_grad=True).matmul(torch.ones(8, 8, device=device)).sum().backward()


def free_memory() -> None:
    """Give back what the training before left in this process, however it ended.

    Ray runs each training in a new thread, and glibc keeps a heap a thread: without trimming, a process that
    serves trial after trial grows by hundreds of megabytes.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a C library without malloc_trim
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def set_threads() -> None:
    """As many torch threads as the trial has CPUs; Ray puts their number into OMP_NUM_THREADS."""
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1") or 1)))


class TrialContext:
    """One worker: reports go straight to Ray Tune, which ends the training inside the report."""

    rank, world = 0, 1

    def __init__(self, clock: SlotClock, send: Callable[[dict[str, Any]], None]) -> None:
        self.device = trial_device()
        self._clock, self._send = clock, send

    def report(self, report: Report) -> None:
        self._clock.beat()
        self._send({"event": "evaluation", **_told(report), **told_so_far(self._clock, self.device)})
        self._clock.resume()

    def add_up(self, values: Tensor) -> None:
        pass


class WorkerContext(TrialContext):
    """One of several Ray Train workers; rank 0 has the word."""

    def __init__(self, clock: SlotClock, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(clock, send)
        from ray.train import get_context
        from ray.train.torch import get_device

        place = get_context()
        self.rank, self.world = place.get_world_rank(), place.get_world_size()
        self.device = get_device()

    def add_up(self, values: Tensor) -> None:
        torch.distributed.all_reduce(values)


def _told(report: Report) -> dict[str, Any]:
    return {
        "row": report.row,
        "rung": report.rung,
        "value": report.value,
        "error_of_value": report.error,
        "notes": list(report.notes),
        "micro_batch": report.micro_batch,
    }


def train_spec(
    spec: TrialSpec,
    workers: int,
    send: Callable[[dict[str, Any]], None],
    context_type: type[TrialContext] = TrialContext,
) -> None:
    """Run one training and send its evaluations and, always, one last message that tells how it ended."""
    free_memory()
    folder = RunFolder(spec.run_directory)
    clock = SlotClock(folder.heartbeats / f"{spec.id}.json", workers)
    set_threads()
    context = context_type(clock, send)
    if context.rank > 0:
        clock.silence()
    reset_peak_memory(context.device)
    status, error, outcome = "completed", None, Outcome()
    training: Training | None = None
    try:
        training = Training(spec, context, clock)
        outcome = training.run()
    except Exception as problem:
        if context.world > 1 and not isinstance(problem, KNOWN_TO_ALL):
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
        return "out_of_memory", _one_line(problem)
    if is_full_disk(problem):
        return DISK_FULL, _one_line(problem)
    if isinstance(problem, Diverged | AutoMLError):
        return "failed", str(problem)
    traceback.print_exc()
    return "failed", _one_line(problem)


def _one_line(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:1000]


def describe_place(device: torch.device) -> dict[str, Any]:
    """Where a training ran: every line of trials.jsonl carries it."""
    import socket

    from automl.models.blocks import autocast_dtype
    from automl.provenance import versions_sha

    precision = autocast_dtype(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "node_id": ray.get_runtime_context().get_node_id() if ray.is_initialized() else "",
        "hostname": socket.gethostname(),
        "device": name,
        "threads": torch.get_num_threads(),
        "precision": "float32" if precision is None else str(precision).removeprefix("torch."),
        "versions_sha": versions_sha(),
    }


@contextmanager
def own_log(spec: TrialSpec) -> Iterator[None]:
    """What a training prints goes into the run folder's logs; nothing is left where it printed nothing."""
    file = RunFolder(spec.run_directory).logs / "trials" / f"{spec.id}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        yield
    if file.stat().st_size == 0:
        file.unlink()


def told_as_json(report: Callable[..., None]) -> Callable[[dict[str, Any]], None]:
    """Send a message as one string: Ray flattens nested results on their way."""
    return lambda message: report({"told": json.dumps(message)})


def trainable(workers: int, worker_resources: Mapping[str, float]) -> Callable[[dict[str, Any]], None]:
    """The function that Ray Tune calls for every training; config = {"spec": TrialSpec as JSON}."""

    def run_here(config: dict[str, Any]) -> None:
        spec = TrialSpec.from_json(config["spec"])
        warm_process(spec.contender.adaptation)
        with own_log(spec):
            train_spec(spec, 1, told_as_json(tune.report))

    def run_with_workers(config: dict[str, Any]) -> None:
        run_group(TrialSpec.from_json(config["spec"]), workers, worker_resources)

    return run_here if workers == 1 else run_with_workers


def run_group(spec: TrialSpec, workers: int, worker_resources: Mapping[str, float]) -> None:
    """One training over a Ray Train worker group; every report of rank 0 is handed on to Ray Tune."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError
    from ray.tune.integration.ray_train import TuneReportCallback

    def worker(config: Mapping[str, Any]) -> None:
        from ray import train

        spec = TrialSpec.from_json(config["spec"])
        warm_process(spec.contender.adaptation)
        with own_log(spec):
            train_spec(spec, workers, told_as_json(train.report), WorkerContext)

    callbacks: list[Any] = [TuneReportCallback(), PublishGroup(tune.get_context().get_trial_id())]
    trainer = TorchTrainer(
        worker,
        train_loop_config={"spec": spec.to_json()},
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu="GPU" in worker_resources,
            resources_per_worker=dict(worker_resources),
        ),
        run_config=RunConfig(
            name=f"{spec.id}-{time.time_ns()}",
            storage_path=str(Path(spec.run_directory) / "logs" / "train"),
            callbacks=callbacks,
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as problem:
        cause = problem.__cause__ or problem
        text = _one_line(cause)
        memory = any(kind.__name__ in text for kind in OUT_OF_MEMORY)
        clock = SlotClock(RunFolder(spec.run_directory).heartbeats / f"{spec.id}.json", workers)
        told_as_json(tune.report)({
            "event": "end",
            "status": "out_of_memory" if memory else "failed",
            "error": text,
            **told_so_far(clock, trial_device()),
        })  # fmt: skip


class PublishGroup(WorkerGroupCallback):
    """Tells the driver which controller and which placement group a trial's workers have.

    Ray frees them only with its dashboard on and one cluster on the host; else every stopped trial keeps its
    CPUs for ever and the search hangs. With this and `free_group` the driver frees them itself.
    """

    def __init__(self, trial_id: str) -> None:
        self._trial_id = trial_id

    def after_worker_group_start(self, worker_group: Any) -> None:
        group = worker_group.get_worker_group_state().placement_group_handle.placement_group
        controller = ray.get_runtime_context().current_actor
        _internal_kv_put(
            self._trial_id.encode(), cloudpickle.dumps((controller, group)), overwrite=True, namespace=_GROUPS
        )


def free_group(trial_id: str) -> None:
    """Free what a trial's workers held; nothing where it had none.

    The controller goes first: while it lives, a removed group looks to it like a failure to mend.
    """
    stored = _internal_kv_get(trial_id.encode(), namespace=_GROUPS)
    if stored:
        _internal_kv_del(trial_id.encode(), namespace=_GROUPS)
        controller, group = cloudpickle.loads(stored)
        ray.kill(controller)
        ray.util.remove_placement_group(group)
