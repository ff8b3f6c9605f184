"""Pictures of the scored test beyond the board: calibration, and cost against score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from automl.leaderboard.busy import busy_notes
from automl.leaderboard.calibration import Bin, Calibration
from automl.leaderboard.chart import Chart, label, layout, unit
from automl.leaderboard.charts import is_off, row_view
from automl.leaderboard.fronts import COSTS, known, pareto
from automl.leaderboard.verdict import score
from automl.metrics import Metric
from automl.types import LeaderboardRow

_QUANTILE = 1.96


def calibration_chart(name: str, number: int, found: Calibration) -> Chart:
    """How often a class that was named with some confidence was right, against that confidence."""
    shown = [one for one in found.bins if one.rows > 0]
    ends = [_wilson(one) for one in shown]
    right = [one.right * 100 for one in shown]
    spread = {"type": "data", "symmetric": False, "thickness": 1.4, "width": 4, "color": "@accent"}
    errors = {
        "array": [high * 100 - value for (_, high), value in zip(ends, right, strict=True)],
        "arrayminus": [value - low * 100 for (low, _), value in zip(ends, right, strict=True)],
    }
    most = max((one.rows for one in shown), default=1.0)
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [one.confidence * 100 for one in shown],
        "y": right,
        "error_y": {**spread, **errors},
        "marker": {
            "color": "@accent",
            "size": [7 + 9 * math.sqrt(one.rows / most) for one in shown],
            "opacity": 0.85,
        },
        "text": [f"{one.rows:,.0f} rows" for one in shown],
        "hovertemplate": "%{x:.0f}% sure, %{y:.0f}% right (%{text})<extra></extra>",
        "showlegend": False,
    }
    diagonal = {
        "type": "scatter", "mode": "lines", "x": [0, 100], "y": [0, 100], "hoverinfo": "skip", "showlegend": False,
        "line": {"color": "@soft", "width": 1.2, "dash": "dot"},
    }  # fmt: skip
    picture = layout("confidence (%)", "right (%)", 320)
    picture["xaxis"] |= {"range": [0, 103]}
    picture["yaxis"] |= {"range": [0, 103]}
    rows = [
        (f"{one.low * 100:.0f} to {one.high * 100:.0f}%", f"{one.rows:,.1f}", *_percent(one.confidence, one.right))
        for one in shown
    ]
    return Chart(
        id=f"calibration-{number}",
        title=f"How sure {name} is, and how often it is right",
        note=f"On the dotted line it is as sure as it should be. {_direction(found)} Larger dots hold more rows.",
        figure={"data": [diagonal, dots], "layout": picture},
        head=("confidence", "test rows", "mean confidence %", "right %"),
        rows=rows,
    )


def _percent(*shares: float) -> tuple[str, ...]:
    return tuple(f"{share * 100:.1f}" for share in shares)


def _direction(found: Calibration) -> str:
    rows = sum(one.rows for one in found.bins)
    gap = sum((one.confidence - one.right) * one.rows for one in found.bins) / max(rows, 1e-9)
    off = f"It is {found.error * 100:.1f} points off on average (ECE)"
    if abs(gap) * 2 < found.error or abs(gap) < 0.005:
        return f"{off}."
    return f"{off}, mostly too {'sure' if gap > 0 else 'cautious'}."


def _wilson(one: Bin) -> tuple[float, float]:
    """95% interval of the share right; trainings share their rows, so they do not make it narrower."""
    rows, squared = max(one.rows, 1.0), _QUANTILE**2
    centre = (one.right + squared / (2 * rows)) / (1 + squared / rows)
    half = _QUANTILE / (1 + squared / rows) * math.sqrt(one.right * (1 - one.right) / rows + squared / (4 * rows**2))
    return min(max(centre - half, 0.0), one.right), max(min(centre + half, 1.0), one.right)


def search_cost_chart(rows: Sequence[LeaderboardRow], metric: Metric) -> Chart | None:
    return _cost_chart(
        rows, metric, COSTS["device_seconds"], "cost-search", "What it took to find each row",
        "device-seconds in all", "device-seconds", "{:,.1f}",
    )  # fmt: skip


def answer_cost_chart(rows: Sequence[LeaderboardRow], metric: Metric) -> Chart | None:
    return _cost_chart(
        rows, metric, COSTS["latency"], "cost-answer", "What one answer of each row takes",
        "milliseconds, median", "milliseconds", "{:,.2f}", busy_notes(rows),
    )  # fmt: skip


def _cost_chart(
    rows: Sequence[LeaderboardRow], metric: Metric, cost: Callable[[LeaderboardRow], float | None],
    id: str, title: str, axis: str, head: str, form: str, notes: Iterable[str] = (),
) -> Chart | None:  # fmt: skip
    """Cost to the right on a logarithmic axis, score upwards; the line joins the Pareto front."""
    shown = known(rows, cost)
    if len(shown) < 2:
        return None

    def paid(row: LeaderboardRow) -> float:
        return cost(row) or 0.0

    front = pareto(shown, paid, metric)
    name, factor = metric.title or metric.name, metric.points
    traces: list[dict[str, Any]] = [_front([(paid(shown[k]), shown[k]) for k in front], factor)]
    for kind, shade in (("contender", "@accent"), ("baseline", "@soft")):
        own = [(place, row) for place, row in enumerate(shown, start=1) if row.kind == kind]
        if own:
            traces.append(_dots(own, paid, factor, kind, shade))
    picture = layout(f"{axis} (log scale)", f"test {name}{unit(metric)}", 340)
    view = row_view(shown, factor)
    picture["yaxis"]["range"] = list(view)
    inside = [math.log10(paid(row)) for row in shown if not is_off(row, factor, view)]
    low, high = min(inside), max(inside)
    room = 0.08 * max(high - low, 0.5)
    picture["xaxis"] |= {"type": "log", "range": [low - room, high + room]}
    if high - low > 1.5:
        picture["xaxis"]["dtick"] = 1  # powers of ten alone
    below = [
        f"{place} ({score(row.test_mean or 0.0, metric)})"
        for place, row in enumerate(shown, start=1)
        if is_off(row, factor, view)
    ]
    outside = f" Beyond the picture's edge: {', '.join(below)}." if below else ""
    table = []
    for place, row in enumerate(shown, start=1):
        interval = f"{score(row.test_low or 0.0, metric)} to {score(row.test_high or 0.0, metric)}"
        ended = "yes" if place - 1 in front else "no"
        told = score(row.test_mean or 0.0, metric)
        table.append((f"{place}. {row.contender}", form.format(paid(row)), told, interval, ended))
    return Chart(
        id=id,
        title=f"{title}, against its test {name}",
        note=f"{'; '.join(f'{place} {row.contender}' for place, row in enumerate(shown, start=1))}. The line joins "
        "rows that none beats without costing more (the Pareto front); a step within the intervals may be chance."
        + outside
        + "".join(f" But {told}." for told in notes),
        figure={"data": traces, "layout": picture},
        head=("row", head, f"test {name}", "95% interval", "on the front"),
        rows=table,
    )


def _front(points: Sequence[tuple[float, LeaderboardRow]], factor: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [paid for paid, _ in points],
        "y": [(row.test_mean or 0.0) * factor for _, row in points],
        "line": {"shape": "hv", "color": "@c2", "width": 1.6, "dash": "dash"},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _dots(
    own: Sequence[tuple[int, LeaderboardRow]],
    paid: Callable[[LeaderboardRow], float],
    factor: float,
    kind: str,
    shade: str,
) -> dict[str, Any]:
    means = [(row.test_mean or 0.0) * factor for _, row in own]
    highs = [(row.test_high or 0.0) * factor for _, row in own]
    lows = [(row.test_low or 0.0) * factor for _, row in own]
    spread = {"type": "data", "symmetric": False, "thickness": 1.8, "width": 7, "color": shade}
    errors = {
        "array": [high - mean for high, mean in zip(highs, means, strict=True)],
        "arrayminus": [mean - low for low, mean in zip(lows, means, strict=True)],
    }
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": f"{kind}s",
        "x": [paid(row) for _, row in own],
        "y": means,
        "error_y": {**spread, **errors},
        "marker": {"color": shade, "size": 9, "symbol": "circle" if kind == "contender" else "diamond"},
        "text": [f" {place}" for place, _ in own],
        "textposition": "top right",
        "textfont": {"color": "@ink", "size": 12, "weight": 600},
        "customdata": [label(row.contender) for _, row in own],
        "hovertemplate": "%{customdata}: %{y:.4g} at %{x:.4g}<extra></extra>",
        "showlegend": len(own) > 0,
    }
