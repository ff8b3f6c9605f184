"""From scored trainings and the run folder's records to the rows of the board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, Literal

from automl.leaderboard.busy import disturbance
from automl.leaderboard.classes import MOST_CLASSES, class_scores
from automl.leaderboard.folds import when_chosen_and_again
from automl.leaderboard.fronts import with_fronts
from automl.leaderboard.quoting import DataQuotes
from automl.leaderboard.score import ScoredRun, ScoredTrainings
from automl.leaderboard.slices import FEW_ROWS, Slice
from automl.leaderboard.statistics import Comparison, Interval, Sample, compare, mean_interval, tie_groups
from automl.leaderboard.store import RunFolder
from automl.metrics import Metric, get_metric
from automl.types import LeaderboardRow, SliceScore, TrialResult, slug

STATUSES = ("completed", "pruned", "failed", "out_of_memory")
_MEASURED = (
    "latency_ms_p50", "latency_ms_p95", "latency_ms_p50_batch_32", "latency_ms_p95_batch_32", "rows_per_second",
    "parameters", "size_bytes",
)  # fmt: skip
_RANGES: dict[str, tuple[float, float]] = {"mcc": (-1.0, 1.0)}


def margin_of(contest: Mapping[str, Any]) -> float:
    """The practical-equivalence margin in the metric's unit: half a point is 0.005."""
    return float(contest.get("margin", 0.5)) / 100


def make_rows(folder: RunFolder, scored: ScoredRun) -> tuple[tuple[LeaderboardRow, ...], tuple[Comparison, ...]]:
    """The rows in the order of the board, and the comparisons that made the tie groups.

    Failed rows stand last with their reason; none is dropped.
    """
    records = _Records(folder)
    parts = [(records.contender_row(name, scored), one) for name, one in scored.finals.items()]
    parts += [(records.baseline_row(name, one), one) for name, one in scored.baselines.items()]
    rows, comparisons = rank_rows([(row, one.sample) for row, one in parts], margin_of(records.contest))
    return with_fronts(rows, get_metric(records.contest["metric"])), comparisons


def rank_rows(
    parts: Sequence[tuple[LeaderboardRow, Sample | None]], margin: float
) -> tuple[tuple[LeaderboardRow, ...], tuple[Comparison, ...]]:
    """Rows with their ranks and tie groups. A sample has the name of its row; a failed row has none."""
    ranked = [(row, sample) for row, sample in parts if sample is not None]
    # equal means by name, not by cost: seconds differ from run to run, and the same run gives the same board
    ranked.sort(key=lambda pair: (-pair[1].mean, pair[0].contender))
    groups, comparisons = tie_groups([sample for _, sample in ranked], margin)
    by_name = {row.contender: row for row, _ in ranked}
    made: list[LeaderboardRow] = []
    for number, group in enumerate(groups, start=1):
        rank = len(made) + 1  # rows that tie share the best rank of their group
        made += [replace(by_name[sample.name], rank=rank, tie_group=number) for sample in group]
    failed = [row for row, sample in parts if sample is None]  # contenders first, as planned
    rank, group_number = len(made) + 1, len(groups) + 1
    made += [replace(row, rank=rank, tie_group=group_number) for row in failed]
    return tuple(made), tuple(comparisons)


def interval_of(sample: Sample, metric: Metric) -> Interval:
    """The 95% interval of the mean test score, in the metric's own direction."""
    bounds = _RANGES.get(metric.name, (0.0, 1.0) if metric.points == 100.0 else None)
    if metric.higher_is_better:
        return mean_interval(sample, bounds)
    turned = mean_interval(sample, None if bounds is None else (-bounds[1], -bounds[0]))
    return Interval(mean=-turned.mean, low=-turned.high, high=-turned.low)


class _Records:
    """What the run folder says about each row, read once."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.contest = folder.read_contest()
        self._metric = get_metric(self.contest["metric"])
        self._trials = folder.trials()
        self._baselines = folder.baselines()
        self._winners = folder.read_winners()
        self._measured = folder.measurements()
        self._quotes = DataQuotes(folder.data)
        self._spent: dict[str, float] = {}
        for spend in folder.ledger():
            self._spent[spend.contender] = self._spent.get(spend.contender, 0.0) + spend.device_seconds

    def contender_row(self, name: str, scored: ScoredRun) -> LeaderboardRow:
        finals, defaults = scored.finals[name], scored.defaults[name]
        winner = self._winners.get(name) or {}
        own = [trial for trial in self._trials if trial.contender == name]
        row = self._row(name, "contender", finals, own)
        tuned, default_mean = self._tuning(finals, defaults, winner)
        directory = f"models/{slug(name)}"
        searched: list[str] = [trial.status for trial in own if trial.kind == "trial"]
        spent, promised = self._spent.get(name, 0.0), winner.get("search_validation")
        return replace(
            row,
            error=self._quotes.without_rows(self._error(finals, winner, own)),
            search_validation=promised,
            default_test_mean=default_mean,
            tuned_minus_default=tuned,
            device_seconds=spent,
            price=self._price(spent),
            peak_memory_bytes=max((trial.cost.peak_memory_bytes for trial in own), default=0) or None,
            optimism=self._optimism(when_chosen_and_again(winner, finals.trainings), row),
            default_recipe=winner.get("default_recipe") or {},
            device_seconds_allowed=self.contest["budget"].get("device_seconds"),
            trials={status: searched.count(status) for status in STATUSES},
            recipe=winner.get("recipe") or {},
            model_dir=directory if (self._folder.path / directory).is_dir() else None,
        )

    def baseline_row(self, name: str, scored: ScoredTrainings) -> LeaderboardRow:
        own = [result for result in self._baselines if result.contender == name]
        row = self._row(name, "baseline", scored, own)
        problem = scored.problems[0].partition(": ")[2] if scored.problems else "planned, but not on record"
        spent = self._spent.get(name, sum(result.cost.device_seconds for result in own))
        error = None if scored.sample else self._quotes.without_rows(problem)
        return replace(row, device_seconds=spent, price=self._price(spent), error=error)

    def _price(self, device_seconds: float) -> float | None:
        rate = self.contest.get("price_per_hour")
        return None if rate is None else device_seconds / 3600 * float(rate)

    def _optimism(self, chosen: tuple[float, float] | None, row: LeaderboardRow) -> dict[str, float] | None:
        """Search minus finals on validation, and the finals' validation minus their test: above zero flatters."""
        sign = 1.0 if self._metric.higher_is_better else -1.0
        steps = {
            "search_minus_finals": chosen or (None, None),
            "validation_minus_test": (row.validation_mean, row.test_mean),
        }
        found = {k: sign * (a - b) for k, (a, b) in steps.items() if a is not None and b is not None}
        return found or None

    def _row(
        self,
        name: str,
        kind: Literal["contender", "baseline"],
        scored: ScoredTrainings,
        own: Sequence[TrialResult],
    ) -> LeaderboardRow:
        intervals = {name: interval_of(sample, get_metric(name)) for name, sample in scored.samples.items()}
        interval = intervals.get(self._metric.name)
        validated = [one.validation for one in scored.trainings if one.validation is not None]
        measured = self._measured.get(name, {})
        latencies = [one.latency_ms_p50 for one in own if one.latency_ms_p50 is not None]
        sizes = [one.parameters for one in own if one.parameters is not None]
        told = {key: measured[key] for key in _MEASURED if key in measured}
        told.setdefault("latency_ms_p50", median(latencies) if latencies else None)
        told.setdefault("parameters", max(sizes) if sizes else None)
        by_class = class_scores(scored.confusion, self.contest["schema"]["classes"]) if scored.trainings else ()
        return LeaderboardRow(
            rank=0,
            tie_group=0,
            contender=name,
            kind=kind,
            status="ok" if interval else "failed",
            error=None,
            test_mean=interval.mean if interval else None,
            test_low=interval.low if interval else None,
            test_high=interval.high if interval else None,
            test_per_seed=scored.per_seed,
            seeds=tuple(one.seed for one in scored.trainings),
            validation_mean=sum(validated) / len(validated) if validated else None,
            search_validation=None,
            default_test_mean=None,
            device_seconds=0.0,
            device_seconds_allowed=None,
            trials=dict.fromkeys(STATUSES, 0),
            recipe={},
            model_dir=None,
            metrics={name: one.mean for name, one in intervals.items()},
            metric_intervals={name: (one.low, one.high) for name, one in intervals.items()},
            calibration_error=scored.calibration.error if scored.calibration else None,
            classes=by_class[:MOST_CLASSES],
            collapsed_finals=scored.collapsed if kind == "contender" else 0,
            slices=tuple(self._slice(one, sample) for one, sample in scored.slices),
            latency_busy=disturbance(measured),
            **told,
        )

    def _slice(self, one: Slice, sample: Sample | None) -> SliceScore:
        ends = None if sample is None else interval_of(sample, self._metric)
        told = {"mean": None, "low": None, "high": None} if ends is None else vars(ends)
        rows = len(one.where)
        return SliceScore(column=one.column, value=one.value, rows=rows, few=rows < FEW_ROWS, **told)

    def _tuning(
        self, finals: ScoredTrainings, defaults: ScoredTrainings, winner: Mapping[str, Any]
    ) -> tuple[dict[str, float] | None, float | None]:
        """Tuned minus default with its interval, above zero where tuning helped; and the default's mean."""
        if finals.sample is None:
            return None, _mean(defaults.per_seed)
        if winner.get("recipe") is not None and winner.get("recipe") == winner.get("default_recipe"):
            return {"mean": 0.0, "low": 0.0, "high": 0.0}, _mean(finals.per_seed)
        if defaults.sample is None:
            return None, None
        found = compare(finals.sample, defaults.sample)
        return {"mean": found.difference, "low": found.low, "high": found.high}, _mean(defaults.per_seed)

    def _error(self, finals: ScoredTrainings, winner: Mapping[str, Any], own: Sequence[TrialResult]) -> str | None:
        planned = len(self.contest["seeds"])
        if len(finals.trainings) >= planned:
            return None
        if finals.trainings:
            done = f"{len(finals.trainings)} of {planned} finals"
            return f"{done}: {'; '.join(finals.problems)}" if finals.problems else f"{done} were run"
        broken = [trial.error for trial in own if trial.error and trial.status in ("failed", "out_of_memory")]
        if finals.problems:
            return "; ".join(finals.problems)
        return (broken[-1] if broken else None) or winner.get("reason") or "no final was run"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
