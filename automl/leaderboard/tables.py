"""The report's tables of further numbers: what rows cost, how pairs differ, what the search promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl.leaderboard.board import Leaderboard
from automl.leaderboard.explain import count, money
from automl.leaderboard.fronts import COSTS
from automl.leaderboard.quantities import seconds
from automl.leaderboard.verdict import points, with_interval
from automl.metrics import Metric
from automl.types import LeaderboardRow

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Head and lines."""

_FRONTS = {"latency": "latency", "device_seconds": "time"}
assert _FRONTS.keys() == COSTS.keys()


def cost_table(board: Leaderboard) -> Table:
    """What every row takes: an answer, memory, disk, device time, money where an hour has a price."""
    priced = any(row.price is not None for row in board.rows)
    head = [
        "row", "one answer, ms (p50 / p95)", "32 at a time, ms (p50 / p95)", "rows a second", "parameters",
        "on disk", "peak memory in training", "device time", *(["money"] if priced else []), "on the front of",
    ]  # fmt: skip
    return head, [_costs(row, priced) for row in board.rows if row.status == "ok"]


def _costs(row: LeaderboardRow, priced: bool) -> list[str]:
    return [
        row.contender,
        _latency(row.latency_ms_p50, row.latency_ms_p95, row.latency_busy),
        _latency(row.latency_ms_p50_batch_32, row.latency_ms_p95_batch_32, row.latency_busy),
        "–" if row.rows_per_second is None else f"{row.rows_per_second:,.0f}",
        count(row.parameters),
        size(row.size_bytes),
        size(row.peak_memory_bytes),
        seconds(row.device_seconds),
        *([money(row.price)] if priced else []),
        ", ".join(_FRONTS[name] for name in row.pareto) or "–",
    ]


def _latency(p50: float | None, p95: float | None, busy: Mapping[str, Any] | None) -> str:
    if p50 is None:
        return "–"
    return f"{p50:,.1f} / {'–' if p95 is None else format(p95, ',.1f')}{' *' if busy else ''}"


def size(value: int | None) -> str:
    """Bytes as people say them: '91 MB'."""
    if value is None:
        return "–"
    for unit, letters in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:.3g} {letters}"
    return f"{value} B"


def optimism_table(board: Leaderboard, metric: Metric) -> Table:
    """By how much each number that choices were made on flatters the next one; above zero is flattery."""
    where = "on the cuts of both" if board.protocol.get("folds") else "on validation"
    head = ("contender", f"search − finals, {where}", "finals: validation − test")
    keys = ("search_minus_finals", "validation_minus_test")
    rows = [
        (row.contender, *(_signed(row.optimism.get(key), metric) for key in keys))
        for row in board.rows
        if row.optimism
    ]
    return head, rows


def _signed(value: float | None, metric: Metric) -> str:
    if value is None:
        return "–"
    return ("−" if value < 0 else "+") + points(value, metric)


def pair_table(board: Leaderboard, metric: Metric) -> Table:
    """The comparisons that made the tie groups."""
    head = (
        "better",
        "worse",
        "by",
        "p after Holm",
        "seeds on which it is better",
        "smallest that would show",
        "told apart",
    )
    return head, [_pair(one, metric) for one in board.protocol["statistics"]["comparisons"]]


def _pair(one: Mapping[str, Any], metric: Metric) -> tuple[str, ...]:
    by = with_interval(one["difference"], one["low"], one["high"], metric)
    sure = "< 0.001" if one["adjusted"] < 0.001 else f"{one['adjusted']:.3f}"
    seeds = one.get("seeds_better")  # boards of before did not tell
    agreed = "–" if seeds is None else f"{seeds * 100:.0f}%"
    told = "yes" if one["separable"] else "no"
    return (one["better"], one["worse"], by, sure, agreed, points(one["detectable"], metric), told)
