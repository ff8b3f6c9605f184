"""How Ray runs a training: in the trial's own process, over Ray Train workers, or over a standing group.

A start of Ray Train costs many seconds on a small machine, a reused trial process a tenth of one, so a
trial with one worker trains right in the process that Ray Tune keeps for trial after trial.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.exceptions import RayActorError
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_put
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2._internal.execution.callback import WorkerGroupCallback

from automl.config import WorkersMode
from automl.errors import one_line
from automl.leaderboard.store import RunFolder
from automl.training.away import NotHere, brought_here, state_kept, told_not_here
from automl.training.clock import SlotClock
from automl.training.exchange import EXCHANGE_SECONDS
from automl.training.memory import OUT_OF_MEMORY
from automl.training.process import keep_to_share, trial_device, warm_process
from automl.training.sharding import with_fewer_rows
from automl.training.standing_group import run_in_standing_group
from automl.training.workers import (
    ExchangeBroken,
    TrainsSpec,
    TrialContext,
    WorkerLost,
    own_log,
    told_as_json,
    told_so_far,
    train_spec,
)
from automl.types import TrialSpec

Trainable = Callable[[dict[str, Any]], None]
"""The function that Ray Tune calls for every training; config = {"spec": TrialSpec as JSON}."""
_GROUPS = b"automl_worker_groups"


class TrainContext(TrialContext):
    """One of several Ray Train workers; rank 0 has the word."""

    def __init__(self, clock: SlotClock, send: Callable[[dict[str, Any]], None]) -> None:
        from ray.train import get_context
        from ray.train.torch import get_device

        place = get_context()
        super().__init__(clock, send, place.get_world_rank(), place.get_world_size())
        self.device = get_device()


def trainable(
    workers: int, worker_resources: Mapping[str, float], mode: WorkersMode, train: TrainsSpec = train_spec
) -> Trainable:
    """What trains over so many workers, each of which has these resources. train: what a worker does with a spec."""

    def run_here(config: dict[str, Any]) -> None:
        spec = brought_here(TrialSpec.from_json(config["spec"]))
        warm_process(spec.contender.adaptation)
        keep_to_share(worker_resources.get("GPU", 0.0))
        with own_log(spec), state_kept(spec, told_as_json(tune.report)) as send:
            train(spec, 1, send)

    def run_with_ray_train(config: dict[str, Any]) -> None:
        run_group(TrialSpec.from_json(config["spec"]), workers, worker_resources, train)

    def run_with_standing_group(config: dict[str, Any]) -> None:
        run_in_standing_group(TrialSpec.from_json(config["spec"]), workers, worker_resources, train)

    run = run_here if workers == 1 else run_with_ray_train if mode == "train" else run_with_standing_group

    def run_or_tell(config: dict[str, Any]) -> None:
        try:
            run(config)
        except NotHere as problem:
            told_as_json(tune.report)(told_not_here(problem))

    return run_or_tell


def run_group(
    spec: TrialSpec, workers: int, worker_resources: Mapping[str, float], train: TrainsSpec = train_spec
) -> None:
    """One training over a Ray Train worker group; every report of rank 0 is handed on to Ray Tune.

    A training in shards whose memory ran out is run again with half of the rows at once, while there is a half.
    Raises WorkerLost where a worker's process died: Tune then starts the training again.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError
    from ray.tune.integration.ray_train import TuneReportCallback

    def worker(config: Mapping[str, Any]) -> None:
        from ray.train import get_context, report
        from ray.train.torch import get_device

        spec, rank = brought_here(TrialSpec.from_json(config["spec"])), get_context().get_world_rank()
        warm_process(spec.contender.adaptation, get_device())
        keep_to_share(worker_resources.get("GPU", 0.0))
        with own_log(spec, rank), state_kept(spec, told_as_json(report), rank) as send:
            train(spec, workers, send, TrainContext)

    here = brought_here(spec)
    trial_id = tune.get_context().get_trial_id()
    free_group(trial_id)  # of an attempt whose own process died
    callbacks: list[Any] = [TuneReportCallback(), PublishGroup(trial_id)]
    trainer = TorchTrainer(
        worker,
        train_loop_config={"spec": spec.to_json()},
        torch_config=TorchConfig(timeout_s=EXCHANGE_SECONDS),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu="GPU" in worker_resources,
            resources_per_worker=dict(worker_resources),
        ),
        run_config=RunConfig(
            name=f"{spec.id}-{time.time_ns()}",
            storage_path=str(Path(here.run_directory) / "logs" / "train"),
            callbacks=callbacks,
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as problem:
        failures = list(getattr(problem, "worker_failures", {}).values())
        causes = [failure for failure in failures if not _followed(failure)]
        if failures and not causes:
            raise WorkerLost(one_line(failures[0])) from problem
        cause = causes[0] if causes else problem.__cause__ or problem
        text = f"{type(cause).__name__}: {' '.join(str(cause).split())}"[:1000]  # Ray's, with the worker's in it
        if NotHere.__name__ in text:
            raise NotHere(text) from problem
        memory = any(kind.__name__ in text for kind in OUT_OF_MEMORY)
        if memory and (fewer := with_fewer_rows(spec, workers)) is not None:
            run_group(fewer, workers, worker_resources, train)
            return
        clock = SlotClock(RunFolder(here.run_directory).heartbeats / f"{spec.id}.json", workers)
        told_as_json(tune.report)({
            "event": "end",
            "status": "out_of_memory" if memory else "failed",
            "error": text,
            **told_so_far(clock, trial_device()),
        })  # fmt: skip


def _followed(failure: Exception) -> bool:
    """Whether a worker failed because a process died: its own, or that of another in an exchange.

    An exchange that broke comes as itself, or as the text of what Ray wrapped it in.
    """
    died = isinstance(failure, ExchangeBroken | RayActorError | WorkerHealthCheckFailedError)
    return died or ExchangeBroken.__name__ in str(failure)


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
