"""Which rows are worth their cost: the Pareto fronts of score against what a row takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from automl.metrics import Metric
from automl.types import LeaderboardRow

Cost = Callable[[LeaderboardRow], float | None]
COSTS: Mapping[str, Cost] = {
    "latency": lambda row: row.latency_ms_p50,
    "device_seconds": lambda row: row.device_seconds,
}


def known(rows: Sequence[LeaderboardRow], cost: Cost) -> list[LeaderboardRow]:
    """The rows with a score and a cost above zero."""
    return [row for row in rows if row.test_mean is not None and (cost(row) or 0.0) > 0]


def pareto(rows: Sequence[LeaderboardRow], cost: Cost, metric: Metric) -> list[int]:
    """Places of the rows that no other row beats in mean score without costing more, the cheapest first.

    rows: those whose score and cost are known.
    """
    order = sorted(range(len(rows)), key=lambda k: (cost(rows[k]) or 0.0, -_turned(rows[k], metric)))
    front: list[int] = []
    for place in order:
        # equal but for the last bit of a mean over seeds is no better
        if not front or _turned(rows[place], metric) > _turned(rows[front[-1]], metric) + 1e-9:
            front.append(place)
    return front


def _turned(row: LeaderboardRow, metric: Metric) -> float:
    assert row.test_mean is not None
    return row.test_mean if metric.higher_is_better else -row.test_mean


def with_fronts(rows: Sequence[LeaderboardRow], metric: Metric) -> tuple[LeaderboardRow, ...]:
    """The rows, each with the names of the costs on whose front it stands."""
    on: dict[str, list[str]] = {row.contender: [] for row in rows}
    for name, cost in COSTS.items():
        told = known(rows, cost)
        for place in pareto(told, cost, metric):
            on[told[place].contender].append(name)
    return tuple(replace(row, pareto=tuple(on[row.contender])) for row in rows)
