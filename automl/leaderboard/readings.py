"""The search read twice: after equal times and after equal numbers of trials; and what more budget would bring.

All values here are of validation, from single trainings: they say how the race went, not who won it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl.leaderboard.verdict import points, score
from automl.metrics import Metric
from automl.types import TrialResult

FEWEST_DRAWN = 4
"""Fewer trials than this foretell nothing about more of them."""
_DRAWN = ("random", "grid")
"""Samplers whose proposals do not build on earlier results: any order of their trials was equally likely."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where a contender's search stood when a trial ended. best: None until one had reached the full horizon."""

    trials: int
    device_seconds: float
    best: float | None


def trace(trials: Sequence[TrialResult], name: str, metric: Metric) -> list[Step]:
    """The steps of one contender's search, in the order in which its trials ended; failed ones cost too."""
    spent, best, steps = 0.0, None, []
    own = [trial for trial in trials if trial.contender == name and trial.kind == "trial"]
    for number, trial in enumerate(own, start=1):
        spent += trial.cost.device_seconds
        value = trial.validation if trial.status == "completed" else None
        if value is not None and (best is None or metric.better(value, best)):
            best = value
        steps.append(Step(trials=number, device_seconds=spent, best=best))
    return steps


def readings(
    trials: Sequence[TrialResult], names: Sequence[str], metric: Metric, margin: float
) -> dict[str, Any] | None:
    """Each contender's best after the time, and after the trials, that every contender had. None for fewer than two.

    `reversed`: pairs whose order differs between the two by more than the margin each time. `leaders`: who led
    after which time; a leader is replaced by one who is better by more than the margin.
    """
    traces = {name: steps for name in names if (steps := trace(trials, name, metric))}
    if len(traces) < 2:
        return None
    seconds = min(steps[-1].device_seconds for steps in traces.values())
    count = min(len(steps) for steps in traces.values())
    by_time = {name: _after(steps, seconds) for name, steps in traces.items()}
    by_trials = {name: steps[count - 1].best for name, steps in traces.items()}
    pairs = [(one, other) for one in traces for other in traces if one != other]
    turned = [
        [one, other]
        for one, other in pairs
        if _lead(by_time[one], by_time[other], metric) > margin
        and _lead(by_trials[other], by_trials[one], metric) > margin
    ]
    return {
        "equal_time": {"device_seconds": seconds, "best": by_time},
        "equal_trials": {"trials": count, "best": by_trials},
        "reversed": turned,
        "agree": not turned,
        "leaders": _leaders(traces, seconds, metric, margin),
    }


def _after(steps: Sequence[Step], seconds: float) -> float | None:
    """The best by then; a training that ends a moment later does not count."""
    return next((step.best for step in reversed(steps) if step.device_seconds <= seconds + 1e-9), None)


def _lead(one: float | None, other: float | None, metric: Metric) -> float:
    """By how much `one` is better; whoever has nothing yet is behind all who have something, and NaN where both."""
    if one is None or other is None:
        return float("nan") if one is other else math.inf if other is None else -math.inf
    return one - other if metric.higher_is_better else other - one


def _leaders(
    traces: Mapping[str, Sequence[Step]], seconds: float, metric: Metric, margin: float
) -> list[dict[str, Any]]:
    ended = (step.device_seconds for steps in traces.values() for step in steps)
    times = sorted({time for time in ended if time <= seconds + 1e-9})
    able = [name for name, steps in traces.items() if _after(steps, seconds) is not None]
    found: list[dict[str, Any]] = []
    for time in times:
        best = {name: _after(traces[name], time) for name in able}
        if not best or any(value is None for value in best.values()):
            continue  # until all have ended one, the quickest leads for being quick
        first = max(able, key=lambda name: _lead(best[name], 0.0, metric))
        if not found or _lead(best[first], best[found[-1]["contender"]], metric) > margin:
            found.append({"device_seconds": time, "contender": first})
    return found


def reading_notes(found: Mapping[str, Any] | None) -> Iterator[str]:
    """What a reader should know where the budget decides who is ahead."""
    if found is None:
        return
    for one, other in found["reversed"]:
        yield (
            f"equal time and equal trials disagree: {one} was ahead of {other} in the search after "
            f"{found['equal_time']['device_seconds']:,.0f} device-seconds each, behind it after "
            f"{found['equal_trials']['trials']} trials each"
        )
    if len(leaders := found["leaders"]) > 1:
        told = ", ".join(f"{one['contender']} from {one['device_seconds']:,.0f} device-seconds on" for one in leaders)
        yield f"who was ahead in the search depended on the budget: {told}"


def reading_table(found: Mapping[str, Any], metric: Metric) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Contender, best validation after equal time, and after equal trials."""
    time, trials = found["equal_time"], found["equal_trials"]
    head = (
        "contender",
        f"best after {time['device_seconds']:,.0f} device-seconds each",
        f"best after {trials['trials']} trials each",
    )

    def told(value: float | None) -> str:
        return "none whole yet" if value is None else score(value, metric)

    return head, [(name, told(value), told(trials["best"][name])) for name, value in time["best"].items()]


# -- what more budget would bring ------------------------------------------------------------------------------


def expected_best(values: Sequence[float], metric: Metric) -> list[float]:
    """The expected best of 1, 2, ... of these values, drawn without replacement.

    Holds for values whose order means nothing, such as those of random search.
    Source: the estimator of Dodge et al. 2019 without replacement: the sum of C(i-1, m-1) / C(n, m) v_(i).
    """
    ordered = sorted(values, reverse=not metric.higher_is_better)
    total = len(ordered)
    return [
        sum(math.comb(place, drawn - 1) * value for place, value in enumerate(ordered)) / math.comb(total, drawn)
        for drawn in range(1, total + 1)
    ]


def budget_curve(
    trials: Sequence[TrialResult], name: str, metric: Metric, sampler: str | None, first_trials: int
) -> dict[str, Any]:
    """Validation against budget: the expected best where trials were drawn at random, else the search as it went.

    first_trials: those that were set before the run, which no sampler drew. points: one for each number of trials.
    """
    drawn = [t for t in trials if t.contender == name and t.kind == "trial" and t.number >= first_trials]
    values = [t.validation for t in drawn if t.status == "completed" and t.validation is not None]
    reason = None
    if sampler not in _DRAWN:
        reason = f"proposals of the sampler {sampler} build on earlier results"
    elif len(values) < len(drawn):
        reason = f"{len(drawn) - len(values)} of {len(drawn)} drawn trials were stopped early or failed"
    elif len(values) < FEWEST_DRAWN:
        reason = f"{len(values)} trials were drawn, fewer than {FEWEST_DRAWN}"
    if reason is None:
        each = sum(trial.cost.device_seconds for trial in drawn) / len(drawn)
        expected = enumerate(expected_best(values, metric), start=1)
        told = [_point(number, number * each, value) for number, value in expected]
        return {"kind": "expected_best", "reason": "trials drawn at random, the first ones left out", "points": told}
    steps = trace(trials, name, metric)
    told = [_point(step.trials, step.device_seconds, step.best) for step in steps if step.best is not None]
    return {"kind": "incumbent", "reason": reason, "points": told}


def _point(trials: int, device_seconds: float, validation: float) -> dict[str, float]:
    return {"trials": trials, "device_seconds": device_seconds, "validation": validation}


def curve_table(curves: Mapping[str, Any], metric: Metric) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Contender, how its curve is known, best validation, and what the second half of the trials brought to it."""
    head = ("contender", "how this is known", "best validation", "after trials", "gained in their second half")
    rows: list[tuple[str, ...]] = []
    for name, curve in curves.items():
        if not curve["points"]:
            continue
        last = curve["points"][-1]
        half = [point for point in curve["points"] if point["trials"] <= last["trials"] / 2]
        gain = "–"
        if half:
            gain = f"{points(last['validation'] - half[-1]['validation'], metric)}"
        how = "expected" if curve["kind"] == "expected_best" else f"as it went: {curve['reason']}"
        rows.append((name, how, score(last["validation"], metric), str(last["trials"]), gain))
    return head, rows
