"""The one Ray Tune run: every trial and final of every contender, on the slots that there are.

Tune starts processes, keeps them for trial after trial, and tells of their death; what runs next and what is stopped
the agenda decides. Searcher and scheduler here are thin: they only carry questions and answers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from ray import tune

from automl.errors import AutoMLError, DiskFull, RunFolderError, is_full_disk
from automl.leaderboard.kept import KeptRun
from automl.leaderboard.store import RunFolder, now
from automl.search.cluster import Outlook
from automl.search.hooks import Asks, Counts, Decides
from automl.search.live import Live
from automl.search.slots import Slots, measured_memory, starting_at_once
from automl.tracking.base import Tracker
from automl.training.away import NOT_HERE
from automl.training.clock import read_heartbeat
from automl.training.groups import Trainable, free_group, trainable
from automl.training.workers import DISK_FULL
from automl.types import TrialResult, TrialSpec

RETRIES = 2
"""How often a training is started again after its process, or the whole run, died; counted over all drivers."""


class Work(Protocol):
    """What a sweep asks: the agenda of a contest, or the one training of a replay. See Agenda."""

    slots: int

    @property
    def searching(self) -> bool: ...

    @property
    def finished(self) -> bool: ...

    def next(self) -> TrialSpec | None: ...

    def catch_up(self, spec: TrialSpec, row: Mapping[str, Any]) -> None: ...

    def goes_on(
        self, spec: TrialSpec, row: Mapping[str, Any], rung: int | None, value: float, error: float
    ) -> bool: ...

    def end(self, result: TrialResult) -> None: ...


class Sweep:
    """Carries specs from the agenda to Tune's processes, and their messages back."""

    def __init__(
        self,
        agenda: Work,
        folder: RunFolder,
        tracker: Tracker,
        slots: Slots,
        function: Trainable | None = None,
        clock: Callable[[], str] = now,
        kept: KeptRun | None = None,
    ) -> None:
        """function: trains in place of what the slots ask for. clock: tells the time as records hold it.

        kept: where trainings leave what they make, if not in the folder itself.
        """
        self._function, self._clock, self._kept = function, clock, kept
        self._outlook = Outlook(tracker.note)
        self._agenda, self._folder, self._tracker, self._slots = agenda, folder, tracker, slots
        self._live: dict[str, Live] = {}
        self._micro_batches: dict[str, int] = {}
        for result in folder.trials():
            self._remember(result.contender, result.micro_batch, result.status)
        self._attempts = folder.attempts()
        self._pause: AutoMLError | None = None
        agenda.slots = slots.count
        self.finals_since: float | None = None if agenda.searching else time.monotonic()

    # -- called by the searcher ----------------------------------------------------------------------------

    def start(self, trial_id: str) -> TrialSpec | None:
        """The next spec for a new Tune trial, recorded before it runs."""
        if len(self._live) >= self._slots.count or self._measured or self._pausing():
            return None
        while (spec := self._agenda.next()) is not None:
            spec = replace(spec, micro_batch=self._micro_batches.get(spec.contender.name, spec.micro_batch))
            live = Live(spec, started_at=self._clock(), retries=RETRIES - self._attempts[spec.id])
            given_up = live.retries < 0
            if not given_up and not self._begin(spec):
                return None
            self._live[trial_id] = live
            self._tracker.trial_started(spec)
            if not given_up:
                return spec
            self.end(trial_id, died=True)
            if self._pausing():
                return None
        return None

    def _begin(self, spec: TrialSpec) -> bool:
        """Record an attempt before it runs; False where the disk has no room for the record."""
        try:
            self._folder.append_started(spec)
        except DiskFull as full:
            self._pause = full
            return False
        self._attempts[spec.id] += 1
        return True

    def _remember(self, contender: str, micro_batch: int | None, status: str | None) -> None:
        """A contender's trainings start with the smallest micro-batch that one of them could go on with.

        One that failed with a single row tells nothing of others: they would be slow for a recipe that is not theirs.
        """
        if micro_batch is not None and status != "out_of_memory":
            self._micro_batches[contender] = min(micro_batch, self._micro_batches.get(contender, micro_batch))

    @property
    def _measured(self) -> bool:
        """Whether it is known, and was not yet acted upon, what a training of every contender holds on a GPU."""
        if not self._slots.automatic:
            return False
        return measured_memory(self._folder.trials()).keys() >= {one.name for one in self._folder.contenders()}

    @property
    def finished(self) -> bool:
        return not self._live and (self._pause is not None or self._agenda.finished)

    def _pausing(self) -> bool:
        """Whether the disk is full: nothing starts then, and what runs is stopped, to go on from its checkpoint."""
        if self._pause is None and self._folder.spare_is_used:
            self._pause = DiskFull.of(self._folder.path)
        return self._pause is not None

    @property
    def tune_is_over(self) -> bool:
        """Whether Tune has nothing left to run: at the end, or before it goes on with other slots."""
        return self.finished or (not self._live and self._measured)

    def message(self, trial_id: str, told: Mapping[str, Any]) -> bool:
        """Take a report; False when the training is to stop."""
        live = self._live[trial_id]
        live.told |= told
        live.waits_since = None
        self._remember(live.spec.contender.name, told.get("micro_batch"), told.get("status"))
        if told["event"] == "end":
            if told["status"] == DISK_FULL:
                self._pause = DiskFull.of(self._folder.path)
            if told["status"] == NOT_HERE:
                self._pause = RunFolderError(told["error"], "", f"Then go on: automl resume {self._folder.path}")
            return True
        if self._pausing():
            return False
        row = told["row"]
        for earlier in told["earlier"]:
            if earlier not in live.curve:  # told to a driver that is dead, and brought along by a checkpoint
                self._agenda.catch_up(live.spec, earlier)
        live.curve = [*told["earlier"], row]  # a retried training reports again what its lost attempt had reported
        if resources := told.get("resources"):
            self._tracker.resources_reported(live.spec, resources)
        self._tracker.trial_reported(live.spec, row)
        goes_on = self._agenda.goes_on(live.spec, row, told["rung"], told["value"], told["error_of_value"])
        live.stopped = not goes_on
        return goes_on

    def end(self, trial_id: str, died: bool) -> None:
        """A Tune trial is over: make its TrialResult and let the agenda record it."""
        if self._slots.starts_its_workers:
            free_group(trial_id)
        live = self._live.pop(trial_id)
        whole = live.told.get("event") == "end" and live.told["status"] not in (DISK_FULL, NOT_HERE)
        if self._pause is not None and not whole and not live.stopped:
            self._interrupted(live)
            return  # it was not over; its seconds so far are in its heartbeat
        heartbeat = self._folder.heartbeats / f"{live.spec.id}.json"
        if not self._collected(live, died):
            return
        if died and live.told.get("event") != "end":
            live.told |= {"spent": read_heartbeat(heartbeat) or live.told.get("spent", {})}
            died_with = "its process, or the whole run with it"
            live.told |= {"status": "failed", "error": f"{died_with}, died {RETRIES + 1} times while it trained"}
        result = live.result(self._clock())
        try:
            self._agenda.end(result)
        except (OSError, DiskFull) as error:
            if not isinstance(error, DiskFull) and not is_full_disk(error):
                raise
            self._pause = DiskFull.of(self._folder.path)  # it is resumed, or told again from its record
            return
        if self._kept is not None:
            self._kept.forget(heartbeat, self._folder.checkpoints / f"{live.spec.id}.resume.pt")
        heartbeat.unlink(missing_ok=True)
        self._folder.drop_checkpoint(live.spec.id)
        self._tracker.trial_ended(live.spec, result)
        if self.finals_since is None and not self._agenda.searching:
            self.finals_since = time.monotonic()
            self._tracker.phase("finals")

    def _collected(self, live: Live, died: bool) -> bool:
        """Bring what a training left in the storage into the run folder; False where the storage failed."""
        if self._kept is None:
            return True
        try:
            if died:
                self._kept.collect(f"logs/heartbeats/{live.spec.id}.json")
            if name := live.told.get("predictions_file"):
                self._kept.collect(name)
        except OSError as problem:
            self._pause = self._kept.lost(problem)
            self._interrupted(live)
            return False
        return True

    def has_process(self, trial_id: str, node: str) -> None:
        """Take note that a training waits no longer, unless for the workers that its process starts, and where it is.

        node: the id of the process's. Several workers may lie on any.
        """
        live = self._live[trial_id]
        live.nodes = frozenset({node}) if self._slots.workers == 1 else self._outlook.ids()
        if not self._slots.starts_its_workers:
            live.waits_since = None

    def retries(self, trial_id: str) -> int:
        """How often Tune may start a training again."""
        return self._live[trial_id].retries

    def look_around(self) -> None:
        """Follow the cluster: as many slots as it has by now, and word of what is waited for."""
        found = self._outlook.slots(self._slots, [one.waits_since for one in self._live.values()])
        if found.count != self._slots.count:
            self._slots = found
            self._agenda.slots = found.count
        for live in self._live.values():
            if live.blamed_on and self._outlook.misses(live.blamed_on):
                self._acquitted(live)
        if self._kept is not None and self._pause is None:
            self._pause = self._kept.taken_over

    def lost(self, trial_id: str, times: int) -> None:
        """A training's process has died for the time that `times` says, and is started again.

        Where its whole node is gone that is no fault of the training, and leaves it as many retries as before; also
        where that becomes known later: Ray may tell of a process before it tells of the node.
        """
        live = self._live[trial_id]
        live.waits_since = time.monotonic()
        if times > live.lost:  # Ray does not count a node that was taken away with notice
            live.lost = times
            if self._outlook.has_lost(live.nodes):
                live.retries += 1
            elif self._begin(live.spec):
                live.blamed_on = live.nodes

    def _acquitted(self, live: Live) -> None:
        """Take back that a death counted against a training."""
        live.blamed_on = frozenset()
        live.retries += 1
        self._attempts[live.spec.id] -= 1
        self._interrupted(live)

    def _interrupted(self, live: Live) -> None:
        """Record that an attempt ended through no fault of its own: it does not count against its training."""
        with suppress(DiskFull):
            self._folder.append_interrupted(live.spec)

    def raise_pause(self) -> None:
        """Raises what keeps the run from going on: a full disk, files that a node cannot reach."""
        if self._pause is not None:
            raise self._pause

    # -- the run ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until the agenda is empty. Raises KeyboardInterrupt when the user interrupts."""
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        if self._slots.automatic and not self._measured:
            self._run_tune()
        if self._slots.automatic and self._measured:
            self._slots = self._slots.shared(measured_memory(self._folder.trials()))
            self._agenda.slots = self._slots.count
        if not self.finished:
            self._run_tune()

    def _run_tune(self) -> None:
        directory = self._folder.logs / "tune"
        directory.mkdir(parents=True, exist_ok=True)
        slots = self._slots
        function = self._function or trainable(slots.workers, slots.per_worker, slots.mode)
        resources: Any = tune.PlacementGroupFactory([slots.per_worker] * slots.workers)
        if slots.starts_its_workers:  # a CPU held by the trial would be missing to them
            resources = tune.PlacementGroupFactory([{"memory": 1024.0}])
        tuner = tune.Tuner(
            tune.with_resources(function, resources),
            tune_config=tune.TuneConfig(
                search_alg=Asks(self),
                scheduler=Decides(self),
                num_samples=-1,
                reuse_actors=not slots.starts_its_workers,
                trial_name_creator=lambda trial: str(trial.trial_id),
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name=f"sweep-{len(list(directory.iterdir()))}",
                storage_path=str(directory.resolve()),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=RETRIES),  # or less: see Counts
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                callbacks=[Counts(self)],
            ),
        )
        try:
            with self._folder.telling_full_disk(), starting_at_once(slots.count):
                tuner.fit()
        except DiskFull as full:
            self._pause = full
        for live in self._live.values():  # Tune returned, or found no room, before they had ended
            self._interrupted(live)
        self.raise_pause()
        if not self.tune_is_over:
            raise KeyboardInterrupt  # Tune swallows the signal and returns
