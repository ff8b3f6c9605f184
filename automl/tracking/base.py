"""What a tracker sees of a run. The live view, W&B and any other tracker implement this one interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl.types import Budget, Contender, TrialResult, TrialSpec


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What is known when the search starts."""

    name: str
    run_directory: Path
    request: Mapping[str, Any]
    task: str
    metric: str
    higher_is_better: bool
    contenders: tuple[Contender, ...]
    budget: Budget
    seeds: tuple[int, ...]
    counts: Mapping[str, int]
    split_fingerprint: str
    time_limit_seconds: float | None = None
    folds: int | None = None
    """After the trials the recipes that lead play off on so many folds, that of the trials among them."""
    wall_seconds_before: float = 0.0
    device_seconds_before: float = 0.0
    """What earlier drivers of a resumed or extended run have taken, the preparation of the data included."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    """The data's name, classes and findings by kind; no row is quoted."""
    fingerprint: str = ""
    """Tells this run from every other, and is always the same; '' where that is not known."""


@dataclass(frozen=True, kw_only=True)
class ShippedModel:
    """A model that the run leaves. final: the training that it comes from."""

    directory: Path
    final: TrialSpec
    rank: int
    test_mean: float | None


@dataclass(frozen=True, kw_only=True)
class Insights:
    """What the board's report draws, as numbers that any tracker can draw itself; no row is quoted.

    confusions: by contender, rows are true classes, mean counts of test rows over its finals.
    importance: by contender, the share of the search's variance that each hyperparameter explains alone.
    curves: by contender, the evaluations of the trial that won.
    models: in the order of the board.
    """

    classes: tuple[str, ...] = ()
    confusions: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    importance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curves: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    models: tuple[ShippedModel, ...] = ()


class Tracker:
    """Follows a run from the driver. Every method does nothing here; override what is of interest.

    Methods are called from one thread, in the order of events. An exception in a tracker never ends a
    run: see `Trackers`.
    """

    def note(self, text: str) -> None:
        """One line about what is going on, before or during the run."""

    def phase(self, name: str) -> None:
        """The run entered 'prepare', 'probes', 'baselines', 'search', 'finals' or 'report'."""

    def start(self, info: RunInfo) -> None:
        """The search begins."""

    def planned(self, plan: Mapping[str, Any]) -> None:
        """What the whole run is foretold to take: plan.json's "estimate", seconds and bytes in pairs of ends."""

    def trial_started(self, spec: TrialSpec) -> None:
        """A training got a slot (again, after a retry)."""

    def trial_reported(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        """One evaluation: {"samples_seen", "train_loss", "device_seconds", <metric>: value, ...}."""

    def resources_reported(self, spec: TrialSpec, rows: Sequence[Mapping[str, float]]) -> None:
        """What its workers took of their machines since the evaluation before, told just before the next one.

        {"samples_seen", "system/worker0/cpu_percent", ".../memory_bytes", and with a GPU ".../gpu_percent" and
        ".../gpu_memory_bytes"}: a row for each moment at which a worker was looked at, see training/resources.py.
        """

    def trial_ended(self, spec: TrialSpec, result: TrialResult) -> None:
        """A training ended: completed, pruned, failed or out of memory. Baselines too (kind 'baseline')."""

    def board(self, leaderboard: Mapping[str, Any], files: Mapping[str, Path], insights: Insights) -> None:
        """The board is out: leaderboard.json's content, the paths of report and tables, and what they draw."""

    def close(self, status: str) -> None:
        """The run ended: 'done', 'interrupted' or 'failed'."""


class Trackers(Tracker):
    """Several trackers as one; one that raises is dropped with a note to the others, the run goes on."""

    def __init__(self, *trackers: Tracker) -> None:
        self._trackers = list(trackers)

    def _each(self, method: str, *arguments: Any) -> None:
        broken: list[tuple[Tracker, Exception]] = []
        for tracker in self._trackers:
            try:
                getattr(tracker, method)(*arguments)
            except Exception as problem:
                broken.append((tracker, problem))
        for tracker, cause in broken:
            self._trackers.remove(tracker)
            self.note(f"{type(tracker).__name__} stopped tracking: {type(cause).__name__}: {cause}")

    def note(self, text: str) -> None:
        self._each("note", text)

    def phase(self, name: str) -> None:
        self._each("phase", name)

    def start(self, info: RunInfo) -> None:
        self._each("start", info)

    def planned(self, plan: Mapping[str, Any]) -> None:
        self._each("planned", plan)

    def trial_started(self, spec: TrialSpec) -> None:
        self._each("trial_started", spec)

    def trial_reported(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        self._each("trial_reported", spec, row)

    def resources_reported(self, spec: TrialSpec, rows: Sequence[Mapping[str, float]]) -> None:
        self._each("resources_reported", spec, rows)

    def trial_ended(self, spec: TrialSpec, result: TrialResult) -> None:
        self._each("trial_ended", spec, result)

    def board(self, leaderboard: Mapping[str, Any], files: Mapping[str, Path], insights: Insights) -> None:
        self._each("board", leaderboard, files, insights)

    def close(self, status: str) -> None:
        self._each("close", status)
