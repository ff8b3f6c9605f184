"""Workers that take training after training: rank 0 is the trial's own process, the others are actors beside it.

Ray Train starts its workers anew for every training, 12 to 34 s on two cores; these are started once for as long
as Ray Tune keeps the trial's process. They live in the trial's placement group and die with its process, so a
stopped trial leaves nothing to free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import RayActorError
from ray.util.placement_group import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from automl.leaderboard.store import RunFolder
from automl.training.away import NotHere, brought_here, state_kept
from automl.training.clock import SlotClock
from automl.training.context import Report
from automl.training.exchange import join_workers
from automl.training.process import keep_to_share, trial_device, warm_process
from automl.training.workers import (
    ExchangeBroken,
    TrainsSpec,
    TrialContext,
    WorkerLost,
    how_it_failed,
    own_log,
    told_as_json,
    told_so_far,
    train_spec,
)
from automl.types import TrialSpec

DEATH_SECONDS = 10.0
"""Within so long Ray tells that a process died whose connection broke."""


class _Stopped(Exception):
    """Rank 0 was told to stop."""


class _GroupContext(TrialContext):
    """Rank 0 reports and tells the others whether the training goes on."""

    def report(self, report: Report) -> None:
        resources = self._resources(report)
        stops = torch.zeros(1, device=self.device)
        if self.rank == 0:
            try:
                self._tell(report, resources)
            except BaseException:  # Tune stops a training by raising SystemExit
                self.add_up(stops + 1)
                raise
        self.add_up(stops)
        if stops.item():
            raise _Stopped


class _Rank:
    """A rank above 0, in a process of its own."""

    def __init__(self, rank: int, world: int, host: str, port: int, gpus: float) -> None:
        keep_to_share(gpus)
        self._rank, self._world = rank, world
        join_workers(trial_device(), rank, world, TCPStore(host, port, world, is_master=False))

    def train(self, spec_json: dict[str, Any]) -> None:
        context = partial(_GroupContext, rank=self._rank, world=self._world)
        try:
            spec = brought_here(TrialSpec.from_json(spec_json))
            warm_process(spec.contender.adaptation)
            with own_log(spec, self._rank), state_kept(spec, lambda message: None, self._rank) as send:
                train_spec(spec, self._world, send, context)
        except _Stopped:
            return  # rank 0 has told the search; this process waits for the next training
        except Exception:
            distributed.destroy_process_group()  # whoever waits for this rank learns of it now
            raise


@dataclass
class _Group:
    """The actors of ranks 1 and up, and the store through which all found each other."""

    actors: list[Any]
    store: TCPStore

    @classmethod
    def start(cls, workers: int, resources: Mapping[str, float]) -> _Group:
        store = TCPStore(ray.util.get_node_ip_address(), 0, workers, is_master=True, wait_for_workers=False)
        place = get_current_placement_group()
        assert place is not None, "a trial of several workers has a placement group"
        actors = [
            ray.remote(_Rank)
            .options(
                num_cpus=resources["CPU"],
                num_gpus=resources.get("GPU", 0),
                scheduling_strategy=PlacementGroupSchedulingStrategy(place, placement_group_bundle_index=rank),
            )
            .remote(rank, workers, store.host, store.port, resources.get("GPU", 0.0))
            for rank in range(1, workers)
        ]
        join_workers(trial_device(), 0, workers, store)
        return cls(actors, store)

    def dissolve(self) -> None:
        for actor in self.actors:
            ray.kill(actor)
        distributed.destroy_process_group()


_standing: list[_Group] = []
"""The group of this process, if it has one: it outlives the trainings."""


def run_in_standing_group(
    spec: TrialSpec, workers: int, resources: Mapping[str, float], train: TrainsSpec = train_spec
) -> None:
    """One training over this process and its group, which is started where there is none.

    train: what this process does, the first of them; the others train as ever.
    Raises WorkerLost where a worker's process died: Tune then starts the training again.
    """
    here = brought_here(spec)
    warm_process(spec.contender.adaptation)
    keep_to_share(resources.get("GPU", 0.0))
    if not _standing:
        _standing.append(_Group.start(workers, resources))
    others = [actor.train.remote(spec.to_json()) for actor in _standing[0].actors]
    spec, send = here, told_as_json(tune.report)
    try:
        with own_log(spec), state_kept(spec, send) as handing_over:
            train(spec, workers, handing_over, partial(_GroupContext, rank=0, world=workers))
        ray.get(others)
    except SystemExit:
        ray.get(others)
        raise
    except Exception as problem:
        cause = _first_cause(problem, others)
        _standing.pop().dissolve()
        if cause is None:
            raise WorkerLost(str(problem)) from problem
        if isinstance(cause, NotHere):
            raise cause from problem
        _tell_failure(spec, workers, send, cause)


def _first_cause(problem: Exception, others: list[Any]) -> Exception | None:
    """What a training failed of: of several workers' errors the one that is not a consequence; None for a death."""
    if not isinstance(problem, ExchangeBroken | RayActorError):
        return problem
    ended, _ = ray.wait(others, num_returns=len(others), timeout=DEATH_SECONDS)
    for reference in ended:
        try:
            ray.get(reference)
        except RayActorError:
            return None
        except Exception as theirs:
            cause = getattr(theirs, "cause", theirs)
            if not isinstance(cause, ExchangeBroken):
                return cause
    return None


def _tell_failure(spec: TrialSpec, workers: int, send: Callable[[dict[str, Any]], None], cause: Exception) -> None:
    clock = SlotClock(RunFolder(spec.run_directory).heartbeats / f"{spec.id}.json", workers)
    status, error = how_it_failed(cause)
    send({"event": "end", "status": status, "error": error, **told_so_far(clock, trial_device())})
