"""The report's main pictures: scores, what the search found, learning curves, confusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from automl.leaderboard.chart import Chart, colour, dash, label, layout, unit
from automl.leaderboard.verdict import score
from automl.metrics import Metric
from automl.types import LeaderboardRow, TrialResult

_ROW_PIXELS = 46
_FULL_MATRIX = 12
_WORDED_CELLS = 16
_LISTED = 50
_FAR = 2.5
"""A baseline further off than this many times the contenders' spread is told beyond the picture's edge."""
_SYMBOLS = {"completed": "circle", "pruned": "x", "failed": "triangle-down", "out_of_memory": "triangle-down"}


def scores_chart(rows: Sequence[LeaderboardRow], metric: Metric) -> Chart | None:
    """Mean, interval and single seeds of every row, best on top; rows that tie stand on one band."""
    shown = [row for row in rows if row.test_mean is not None]
    if not shown:
        return None
    factor = metric.points
    places = [-index for index in range(len(shown))]
    traces = []
    for kind, shade in (("contender", "@accent"), ("baseline", "@soft")):
        chosen = [(place, row) for place, row in zip(places, shown, strict=True) if row.kind == kind]
        if not chosen:
            continue
        seeds = [(place, value) for place, row in chosen for value in row.test_per_seed if len(row.seeds) > 1]
        traces.append(_seed_dots(seeds, factor, shade))
        traces.append(_mean_dots(chosen, metric, kind, shade))
    name = metric.title or metric.name
    picture = layout(f"{name}{unit(metric)}, on the test rows", "", height=90 + _ROW_PIXELS * len(shown))
    picture["yaxis"] |= {"range": [places[-1] - 0.6, 0.75], "showticklabels": False, "showgrid": False}
    names = [_name_above(place, row) for place, row in zip(places, shown, strict=True)]
    picture |= {"shapes": _bands(shown), "annotations": names}
    picture["margin"] |= {"l": 8, "t": 10}
    view = row_view(shown, factor)
    picture["xaxis"]["range"] = list(view)
    outside = [pair for pair in zip(places, shown, strict=True) if is_off(pair[1], factor, view)]
    picture["annotations"] += [_outside(place, row, metric, view) for place, row in outside]
    table = [
        (row.contender, str(row.tie_group), score(row.test_mean or 0.0, metric), _range(row, metric)) for row in shown
    ]
    return Chart(
        id="scores",
        title=f"Test {name} of every row, with its 95% interval",
        note="Large dots are means, lines 95% intervals, small dots single trainings. Rows on one band tie. "
        + ("Further right is better." if metric.higher_is_better else "Further left is better."),
        figure={"data": traces, "layout": picture},
        head=("row", "tie group", f"mean {name}", "95% interval"),
        rows=table,
    )


def _ends(row: LeaderboardRow, factor: float) -> tuple[float, float]:
    values = [value for value in (row.test_low, row.test_high, *row.test_per_seed) if value is not None]
    return min(values) * factor, max(values) * factor


def row_view(rows: Sequence[LeaderboardRow], factor: float) -> tuple[float, float]:
    """The part of the axis that shows the contenders well; a baseline far off would squeeze them together."""
    ends = [_ends(row, factor) for row in rows if row.kind == "contender"]
    ends = ends or [_ends(row, factor) for row in rows]
    low, high = min(one for one, _ in ends), max(one for _, one in ends)
    reach = _FAR * max(high - low, 1e-9)
    near = [_ends(row, factor) for row in rows if row.kind == "baseline"]
    near = [one for one in near if one[0] >= low - reach and one[1] <= high + reach]
    low, high = min([low, *(one for one, _ in near)]), max([high, *(one for _, one in near)])
    room = 0.04 * max(high - low, 1e-9)
    return low - room, high + room


def is_off(row: LeaderboardRow, factor: float, view: tuple[float, float]) -> bool:
    low, high = _ends(row, factor)
    return low < view[0] or high > view[1]


def _outside(place: int, row: LeaderboardRow, metric: Metric, view: tuple[float, float]) -> dict[str, Any]:
    """A pointer to a row beyond the picture's edge, with its numbers."""
    assert row.test_mean is not None
    told = f"{score(row.test_mean, metric)} ({_range(row, metric)})"
    left = _ends(row, metric.points)[0] < view[0]
    where = {"xref": "paper", "x": 0 if left else 1, "xanchor": "left" if left else "right", "y": place}
    words = f"◂ {told}" if left else f"{told} ▸"
    return {**where, "text": words, "showarrow": False, "font": {"size": 11.5, "color": "@soft"}}


def _seed_dots(seeds: Sequence[tuple[int, float]], factor: float, shade: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [value * factor for _, value in seeds],
        "y": [place for place, _ in seeds],
        "marker": {"color": shade, "size": 5, "opacity": 0.4},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _mean_dots(chosen: Sequence[tuple[int, LeaderboardRow]], metric: Metric, kind: str, shade: str) -> dict[str, Any]:
    rows = [row for _, row in chosen]
    means = np.array([row.test_mean for row in rows], dtype=float) * metric.points
    highs = np.array([row.test_high for row in rows], dtype=float) * metric.points
    lows = np.array([row.test_low for row in rows], dtype=float) * metric.points
    spread = {"type": "data", "symmetric": False, "thickness": 1.8, "width": 5, "color": shade}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{kind}s",
        "x": means.tolist(),
        "y": [place for place, _ in chosen],
        "error_x": {**spread, "array": (highs - means).tolist(), "arrayminus": (means - lows).tolist()},
        "marker": {"color": shade, "size": 10, "symbol": "circle" if kind == "contender" else "diamond"},
        "text": [f"{label(row.contender)}: {_range(row, metric)}" for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }


def _bands(rows: Sequence[LeaderboardRow]) -> list[dict[str, Any]]:
    """A shade behind every other tie group."""
    shapes = []
    for group in sorted({row.tie_group for row in rows}):
        inside = [index for index, row in enumerate(rows) if row.tie_group == group]
        if group % 2:
            edges = {"y0": -inside[-1] - 0.45, "y1": -inside[0] + 0.6}
            place = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "layer": "below"}
            shapes.append({**place, **edges, "fillcolor": "@band", "line": {"width": 0}})
    return shapes


def _name_above(place: int, row: LeaderboardRow) -> dict[str, Any]:
    words = f"{row.rank}. {label(row.contender)}" + (" (baseline)" if row.kind == "baseline" else "")
    where = {"xref": "paper", "x": 0, "xanchor": "left", "y": place + 0.34, "yanchor": "middle"}
    return {**where, "text": words, "showarrow": False, "font": {"size": 12.5, "color": "@ink"}}


def history_chart(trials: Sequence[TrialResult], names: Sequence[str], metric: Metric) -> Chart | None:
    """Validation score of every trial against what its contender had spent by then, and the best so far."""
    traces: list[dict[str, Any]] = []
    table: list[tuple[str, ...]] = []
    for index, name in enumerate(names):
        own = [trial for trial in trials if trial.contender == name and trial.kind == "trial"]
        spent, best, points, steps = 0.0, metric.worst, [], []
        for trial in own:
            spent += trial.cost.device_seconds
            value = trial.validation
            told = "-" if value is None else score(value, metric)
            if value is not None:
                points.append((spent, value * metric.points, trial))
                if trial.status == "completed" and metric.better(value, best):
                    best = value
                    steps.append((spent, value * metric.points))
            table.append((name, str(trial.number), trial.status.replace("_", " "), told, f"{spent:.0f}"))
        if steps:
            steps.append((spent, steps[-1][1]))
        traces += _history_traces(name, index, points, steps)
    if not table:
        return None
    metric_name = metric.title or metric.name
    picture = layout("device-seconds spent by the contender", f"validation {metric_name}{unit(metric)}", 380)
    return Chart(
        id="history",
        title="What the search found as it spent its budget",
        note="Dots are trials that reached the full horizon, crosses were stopped early; "
        "the line is the best so far." + _on_one_fold(trials),
        figure={"data": traces, "layout": picture},
        head=("contender", "trial", "ended", f"validation {metric_name}", "device-seconds so far"),
        rows=table,
    )


def _on_one_fold(trials: Sequence[TrialResult]) -> str:
    """Which validation rows the values of a search stand for, where there are several cuts."""
    return " All are judged on fold 1." if any(one.fold for one in trials) else ""


def _history_traces(
    name: str,
    index: int,
    points: Sequence[tuple[float, float, TrialResult]],
    steps: Sequence[tuple[float, float]],
) -> list[dict[str, Any]]:
    shade, group = colour(index), f"c{index}"
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        "legendgroup": group,
        "x": [x for x, _ in steps],
        "y": [y for _, y in steps],
        "line": {"shape": "hv", "color": shade, "width": 2, "dash": dash(index)},
        "hoverinfo": "skip",
    }
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": label(name),
        "legendgroup": group,
        "showlegend": not steps,
        "x": [x for x, _, _ in points],
        "y": [y for _, y, _ in points],
        "marker": {"color": shade, "size": 7, "symbol": [_SYMBOLS[t.status] for _, _, t in points]},
        "text": [f"trial {t.number}, {t.status.replace('_', ' ')}" for _, _, t in points],
        "hovertemplate": "%{text}: %{y:.4g} at %{x:.0f} s<extra>%{fullData.name}</extra>",
    }
    return [line, dots] if steps else [dots]


def curves_chart(trials: Sequence[TrialResult], name: str, index: int, metric: Metric) -> Chart | None:
    """Learning curves of one contender's trials; those stopped early end in a cross."""
    own = [t for t in trials if t.contender == name and t.kind == "trial" and t.curve]
    traces, table = [], []
    for trial in own:
        told_rows = [row for row in trial.curve if row.get(metric.name) is not None]
        points = [(row["samples_seen"], row[metric.name]) for row in told_rows]
        if not points:
            continue
        stopped = trial.status != "completed"
        symbols = ["circle"] * (len(points) - 1) + [_SYMBOLS[trial.status]]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"trial {trial.number}",
                "x": [samples for samples, _ in points],
                "y": [value * metric.points for _, value in points],
                "line": {"color": "@soft" if stopped else colour(index), "width": 1.2 if stopped else 1.8},
                "marker": {
                    "symbol": symbols,
                    "size": [4] * (len(points) - 1) + [8 if stopped else 6],
                    "color": "@soft" if stopped else colour(index),
                },
                "hovertemplate": "%{y:.4g} after %{x:,} samples<extra>%{fullData.name}</extra>",
                "showlegend": False,
            }
        )
        told = ", ".join(f"{samples:,}: {score(value, metric)}" for samples, value in points)
        table.append((str(trial.number), trial.status.replace("_", " "), told))
    if not traces:
        return None
    metric_name = metric.title or metric.name
    picture = layout("training samples seen", f"validation {metric_name}{unit(metric)}", 300)
    stopped_count = sum(one.status == "pruned" for one in own)
    return Chart(
        id=f"curves-{index}",
        title=f"Learning curves of {name}",
        note=f"Each line is a trial; {stopped_count} of {len(own)} were stopped early (grey, ending in a cross)."
        + _on_one_fold(own),
        figure={"data": traces, "layout": picture},
        head=("trial", "ended", f"validation {metric_name} after samples seen"),
        rows=table,
    )


def confusion_chart(
    name: str, number: int, confusion: np.ndarray[Any, Any], classes: Sequence[str], finals: int
) -> Chart:
    """Where a row's predictions went: each line is a true class and sums to one hundred percent."""
    total = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, total, out=np.zeros_like(confusion), where=total > 0)
    places, ticks = list(range(len(classes))), [label(one, 14) for one in classes]
    worded = len(classes) <= _WORDED_CELLS
    trace = {
        "type": "heatmap",
        "z": (shares * 100).round(2).tolist(),
        "x": places,
        "y": places,
        "zmin": 0,
        "zmax": 100,
        "colorscale": [[0, "@paper"], [1, "@heat"]],
        "showscale": not worded,
        "colorbar": {"title": {"text": "% of class"}, "thickness": 10, "outlinewidth": 0},
        "text": [[f"{value:.4g}" for value in line] for line in confusion.round(1)],
        "customdata": [[f"{label(t, 30)} called {label(s, 30)}" for s in classes] for t in classes],
        "hovertemplate": "%{customdata}: %{text} rows (%{z:.1f}%)<extra></extra>",
        "xgap": 1,
        "ygap": 1,
    }
    if worded:
        trace["texttemplate"] = "%{text}"
    picture = layout("predicted class", "true class", height=min(190 + 38 * len(classes), 720))
    axis = {"tickvals": places, "ticktext": ticks, "showgrid": False, "zeroline": False, "automargin": True}
    picture["xaxis"] |= {**axis, "tickangle": 0 if len(classes) <= 3 else -40}
    picture["yaxis"] |= {**axis, "autorange": "reversed"}
    for side in ("xaxis", "yaxis"):
        picture[side]["title"]["standoff"] = 10  # clear of the classes' names, however long
    head, rows = _confusion_table(confusion, classes)
    return Chart(
        id=f"confusion-{number}",
        title=f"What {name} confuses",
        note=f"Test rows, mean over {finals} final{'' if finals == 1 else 's'}; "
        "the shade is the share of the true class.",
        figure={"data": [trace], "layout": picture},
        head=head,
        rows=rows,
    )


def _confusion_table(
    confusion: np.ndarray[Any, Any], classes: Sequence[str]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    if len(classes) <= _FULL_MATRIX:
        lines = [tuple(f"{value:.4g}" for value in line) for line in confusion.round(1)]
        head = ("true class", *(f"called {one}" for one in classes))
        return head, [(one, *line) for one, line in zip(classes, lines, strict=True)]
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_LISTED]
    pairs = [divmod(int(place), len(classes)) for place in order]
    listed: list[tuple[str, ...]] = []
    listed += [(classes[t], classes[s], f"{wrong[t, s]:.4g}") for t, s in pairs if wrong[t, s] > 0]
    return ("true class", "called", "rows (the most frequent mistakes)"), listed


def _range(row: LeaderboardRow, metric: Metric) -> str:
    assert row.test_low is not None
    assert row.test_high is not None
    return f"{score(row.test_low, metric)} to {score(row.test_high, metric)}"


def trial_counts(trials: Mapping[str, int]) -> str:
    """'7 done, 4 stopped early, 1 failed'."""
    lost = trials["failed"] + trials["out_of_memory"]
    words = [f"{trials['completed']} done", f"{trials['pruned']} stopped early"]
    return ", ".join([*words, f"{lost} failed"] if lost else words)
