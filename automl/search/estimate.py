"""What a run is going to cost, from what the probes of its contenders measured. Arithmetic alone: no clock, no Ray.

Nobody knows beforehand how many trials will be stopped early, so every amount has two ends: as many are stopped at
their first rung as the rungs allow and the untuned recipe wins; or every trial runs to its end and another one wins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from automl.leaderboard.folds import CANDIDATES, folds_of
from automl.leaderboard.planning import ASSUMED_DISAGREEMENT, detectable_difference
from automl.registry import get_part
from automl.search.agenda import REPORT_SHARE
from automl.search.baselines import MAX_ROWS
from automl.search.playoff import SHARE as PLAYOFF_SHARE
from automl.search.rungs import ETA
from automl.search.slots import Slots
from automl.tasks.base import Task
from automl.training.fit import CHECKPOINT_SECONDS
from automl.training.frozen_prefix import QUOTA_BYTES
from automl.training.probed import Probe
from automl.training.stream import evaluation_points
from automl.types import Budget

Range = tuple[float, float]
_ADAM_STATES = 2
"""Beside every weight that learns, checkpoints and memory hold two running means of the optimizer."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One contender's share of a run; seconds are device-seconds, ranges go from fewest to most.

    error: why its probe broke; the rest is then zero. trial_seconds: of one whole trial, caches apart.
    playoffs: trainings of the play-off, which search_seconds hold too.
    """

    contender: str
    error: str | None = None
    trial_seconds: float = 0.0
    trials: Range = (0, 0)
    playoffs: Range = (0, 0)
    search_seconds: Range = (0.0, 0.0)
    finals: Range = (0, 0)
    finals_seconds: Range = (0.0, 0.0)
    peak_memory_bytes: int = 0
    machine_bytes: int = 0

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        ends: dict[str, Any] = {name: tuple(one) for name, one in values.items() if isinstance(one, list)}
        return cls(**{**values, **ends})


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """The run from its baselines to its last final, without the contenders whose probe broke.

    memory_bytes: of all that train at a time on one device. disk_bytes: most at a time; kept_bytes: what is left in
    the end. detectable_*: differences in accuracy.
    """

    contenders: tuple[Estimate, ...]
    slots: int
    wall_seconds: Range
    memory_bytes: int
    disk_bytes: int
    kept_bytes: int
    detectable_validation: float
    detectable_test: float
    disagreement: float = ASSUMED_DISAGREEMENT

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        contenders = tuple(Estimate.from_json(one) for one in values["contenders"])
        return cls(**{**values, "contenders": contenders, "wall_seconds": tuple(values["wall_seconds"])})


def estimate_run(
    contest: Mapping[str, Any],
    probes: Mapping[str, Probe],
    slots: Slots,
    start_seconds: float,
    data_bytes: int,
    free_bytes: int,
) -> RunEstimate:
    """The estimate of a contest.

    start_seconds: what starting a process takes. data_bytes: of the prepared rows. free_bytes: of the disk.
    """
    known = {name: probe for name, probe in probes.items() if probe.error is None}
    sums = {name: _Sums(contest, probe, slots, known, free_bytes) for name, probe in known.items()}
    found = {name: one.estimate() for name, one in sums.items()}
    failed = {n: Estimate(contender=n, error=p.error) for n, p in probes.items()}
    at_once = slots.count * slots.workers
    # the slots are busy alike but for the last training of each, which the others may have to wait for
    longest = max((one.trial_seconds for one in found.values()), default=0.0) / slots.workers
    tails = (0.0, longest if slots.count > 1 else 0.0)
    before = start_seconds + _baseline_seconds(contest, known)
    walls = [
        before + tail + sum(one.search_seconds[end] + one.finals_seconds[end] for one in found.values()) / at_once
        for end, tail in enumerate(tails)
    ]
    limit = contest.get("time_limit_seconds")
    walls = [wall if limit is None else min(wall, limit) for wall in walls]
    counts, seeds = contest["counts"], len(contest["seeds"])
    unfinished = [one.checkpoint_bytes for one in sums.values()]
    kept = data_bytes + sum(one.kept_bytes for one in sums.values())
    most = sum(one.model_bytes for one in sums.values()) * (seeds - 1) + slots.count * max(unfinished, default=0)
    return RunEstimate(
        contenders=tuple((failed | found)[name] for name in probes),
        slots=slots.count,
        wall_seconds=(walls[0], walls[1]),
        memory_bytes=max((one.peak_memory_bytes for one in found.values()), default=0) * _sharing(slots),
        disk_bytes=kept + most,
        kept_bytes=kept,
        detectable_validation=detectable_difference(counts["validation"], None),
        detectable_test=detectable_difference(counts["test"], seeds),
    )


class _Sums:
    """The sums of one contender. Its probe was of one worker; device-seconds are those of all workers."""

    def __init__(
        self, contest: Mapping[str, Any], probe: Probe, slots: Slots, all_probes: Mapping[str, Probe], free: int
    ) -> None:
        self._contest, self._probe, self._slots = contest, probe, slots
        self._shares = len(all_probes)
        self._rows: Mapping[str, int] = contest["counts"]
        self._horizon = contest["horizon_samples"]
        self._budget = Budget.from_json(contest["budget"])
        self._limit: float | None = contest.get("time_limit_seconds")
        stored = sum(one.cache_bytes_per_row * sum(self._rows.values()) for one in all_probes.values()
                     if one.stores_activations)  # fmt: skip
        self._sharded = bool(contest.get("compute", {}).get("shard"))  # then nothing is stored
        self._too_large = probe.stores_activations and (self._sharded or stored > min(QUOTA_BYTES, free // 5))
        self.model_bytes = probe.model_bytes

    def estimate(self) -> Estimate:
        whole, stopped, final = self._training(), self._training(self._contest["rungs"][0]), self._final()
        trials, playoffs, search = self._search(whole, stopped)
        finals, finals_seconds = self._finals(final)
        return Estimate(
            contender=self._probe.contender,
            trial_seconds=whole,
            trials=trials,
            playoffs=playoffs,
            search_seconds=search,
            finals=finals,
            finals_seconds=finals_seconds,
            peak_memory_bytes=self._peak_memory_bytes,
            machine_bytes=self._probe.machine_bytes,
        )

    @property
    def _peak_memory_bytes(self) -> int:
        """Of one worker. The probe's has the whole model, and of one in shards a part of all that learns by it."""
        probe = self._probe
        if not self._sharded:
            return probe.peak_memory_bytes
        cut = probe.model_bytes + probe.learning_bytes * (1 + _ADAM_STATES)
        return max(probe.peak_memory_bytes - round(cut * (1 - 1 / self._slots.workers)), 0)

    # -- one training ------------------------------------------------------------------------------------

    def _training(self, until: int | None = None) -> float:
        """Of a trial that sees so many samples (all, when left out), its evaluations with it."""
        probe, workers = self._probe, self._slots.workers
        until = until or self._horizon
        points = evaluation_points(self._horizon, self._contest["rungs"], self._rows["train"])
        reached = [rung for samples, rung in points if samples <= until]
        scored = sum(rung is not None for rung in reached) * workers * probe.scoring_seconds
        predicted = len(reached) * self._rows["validation"] * probe.predict_seconds_per_row
        # without room for the frozen blocks' output, they run again and again
        again = probe.cache_seconds_per_row * (until + len(reached) * self._rows["validation"])
        steps = until * probe.seconds_per_sample
        return workers * probe.ready_seconds + steps + predicted + scored + (again if self._too_large else 0.0)

    def _final(self) -> float:
        """A whole training, and the predictions that the board is made from; those run through the whole model."""
        return self._training() + (self._rows["validation"] + self._rows["test"]) * _forward_seconds(self._probe)

    @property
    def _cache_seconds(self) -> float:
        """What the first trial pays for all; meanwhile the others of its workers wait."""
        rows = self._rows["train"] + self._rows["validation"]
        return self._slots.workers * (self._probe.cache_seconds + rows * self._probe.cache_seconds_per_row)

    # -- all of them -------------------------------------------------------------------------------------

    def _search(self, whole: float, stopped: float) -> tuple[Range, Range, Range]:
        """(trials, trainings of the play-off, device-seconds) of the search."""
        space = self._contest["spaces"][self._probe.contender]
        # the first trials are never stopped, and a rung compares none before it has seen ETA
        never_stopped = max(len(space["first_trials"]), ETA - 1)
        allowed = self._allowed(self._budget.search_share, self._budget.search_share)
        planned = self._budget.trials

        def cost(trials: float, runs_whole: float) -> float:
            return self._cache_seconds + runs_whole * whole + (trials - runs_whole) * stopped

        if allowed is None:
            assert planned is not None
            least, most = cost(planned, min(planned, never_stopped)), cost(planned, planned)
            played = self._playoff_trainings(planned)
            return (planned, planned), (played, played), (least + played * whole, most + played * whole)
        kept = 0.0 if folds_of(self._contest) is None else allowed * PLAYOFF_SHARE
        for_trials = max(0.0, allowed - kept - self._cache_seconds)
        if kept and for_trials < 2 * whole:  # nothing is kept before two recipes could play
            kept, for_trials = 0.0, min(2 * whole, for_trials + kept)
        fewest = max(1, math.floor(for_trials / whole))
        rest = for_trials - never_stopped * whole
        most_trials = fewest if rest < 0 else never_stopped + math.floor(rest / stopped)
        if planned is not None:
            fewest, most_trials = min(fewest, planned), min(most_trials, planned)
        most_played = self._playoff_trainings(most_trials)
        least = min(allowed, cost(most_trials, min(most_trials, never_stopped)) + most_played * whole)
        most = max(least, min(allowed, cost(most_trials, most_trials) + most_played * whole))
        # what is kept pays for them where trials use all the rest: of every fold all that lead, or none
        together = self._playoff_trainings(fewest, folds=1)
        fewest_played = 0 if not together else min(most_played, together * math.floor(kept / (together * whole)))
        return (fewest, most_trials), (fewest_played, most_played), (least, most)

    def _playoff_trainings(self, trials: float, folds: int | None = None) -> float:
        """Trainings of the recipes that lead, on so many folds; on every one but that of the search, if left out."""
        parted = folds_of(self._contest)
        return 0 if parted is None or trials < 2 else min(CANDIDATES, trials) * (folds or parted - 1)

    def _finals(self, final: float) -> tuple[Range, Range]:
        """(finals of the winner and of the untuned recipe, their device-seconds); one is trained in any case."""
        seeds = len(self._contest["seeds"])
        allowed = self._allowed(1 - self._budget.search_share, 1 - self._budget.search_share - REPORT_SHARE)
        fit = 2 * seeds if allowed is None else max(1, min(2 * seeds, math.floor(allowed / final)))
        ends = (min(seeds, fit), fit)
        encoding = self._rows["test"] * (0.0 if self._probe.stores_activations else self._probe.cache_seconds_per_row)
        return ends, (encoding + ends[0] * final, encoding + ends[1] * final)

    def _allowed(self, of_budget: float, of_limit: float) -> float | None:
        """Device-seconds that budget and time limit leave for a part of the run; None where neither does."""
        found = []
        if self._budget.device_seconds is not None:
            found.append(self._budget.device_seconds * of_budget)
        if self._limit is not None:
            found.append(self._limit * of_limit * self._slots.count * self._slots.workers / self._shares)
        return min(found, default=None)

    # -- the disk ----------------------------------------------------------------------------------------

    @property
    def kept_bytes(self) -> int:
        """Caches, predictions of all finals, and the model that is shipped."""
        rows, classes = self._rows, len(self._contest["schema"]["classes"])
        cached = 0.0 if self._too_large else self._probe.cache_bytes_per_row * sum(rows.values())
        predicted = 2 * len(self._contest["seeds"]) * (rows["validation"] + rows["test"]) * 4 * classes
        return round(cached + predicted + self.model_bytes)

    @property
    def checkpoint_bytes(self) -> int:
        """Of a training that runs; short ones keep none."""
        short = self._training() / self._slots.workers < CHECKPOINT_SECONDS
        return 0 if short else self._probe.learning_bytes * (1 + _ADAM_STATES)


def _sharing(slots: Slots) -> int:
    """Workers that share one device's memory: those on a GPU, or all of them on the host."""
    if slots.gpus:
        return max(1, round(1 / slots.gpus))
    return slots.count * slots.workers


def _forward_seconds(probe: Probe) -> float:
    """Of one row through the whole model: a frozen contender's probe ran it only to store what the blocks put out."""
    return probe.cache_seconds_per_row if probe.stores_activations else probe.predict_seconds_per_row


def _baseline_seconds(contest: Mapping[str, Any], probes: Mapping[str, Probe]) -> float:
    """Wall seconds of the features that baselines learn from; what learns from them, or from words, takes little."""
    rows = contest["counts"]
    through = min(rows["train"], MAX_ROWS) + rows["validation"] + rows["test"]
    models = {one["name"]: one["checkpoint"]["path"] for one in contest["contenders"]}
    forward = {models[name]: _forward_seconds(probe) for name, probe in probes.items()}
    task = get_part("automl.tasks", Task, contest["task"])  # type: ignore[type-abstract]
    passes = sum(baseline.needs == "features" for baseline in task.baselines())
    seconds: float = passes * through * sum(forward.values())
    return seconds
