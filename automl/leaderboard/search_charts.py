"""Pictures of what a search tried: which hyperparameters mattered, and every recipe as a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from automl.leaderboard.chart import Chart, label, layout
from automl.leaderboard.importance import Importance, Scale, scales, whole_trials
from automl.leaderboard.verdict import score
from automl.metrics import Metric
from automl.types import TrialResult

_AXIS_PIXELS = 78
_QUARTERS = ("best quarter", "second quarter", "third quarter", "last quarter")


def importance_chart(found: Importance, index: int) -> Chart | None:
    """A bar a hyperparameter; None where the trials cannot tell."""
    if not found.shares:
        return None
    shares = found.shares[::-1]  # plotly draws from below
    mean, low, high = (np.array([share[k] for share in shares]) * 100 for k in (1, 2, 3))
    spread = {"type": "data", "symmetric": False, "thickness": 1.4, "width": 4, "color": "@soft"}
    errors = {"array": np.maximum(high - mean, 0).tolist(), "arrayminus": np.maximum(mean - low, 0).tolist()}
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": mean.round(2).tolist(),
        "y": [label(share[0], 24) for share in shares],
        "marker": {"color": "@accent"},
        "error_x": {**spread, **errors},
        "hovertemplate": "%{y}: %{x:.0f}% of the variance<extra></extra>",
    }
    picture = layout("share of the score's variance (%)", "", 96 + 34 * len(shares))
    picture["xaxis"] |= {"range": [0, max(100.0, float(high.max()))]}
    picture["yaxis"] |= {"title": {"text": "hyperparameter", "standoff": 14}, "automargin": True, "showgrid": False}
    rows = [(name, f"{one * 100:.0f}%", f"{a * 100:.0f}% to {b * 100:.0f}%") for name, one, a, b in found.shares]
    return Chart(
        id=f"importance-{index}",
        title=f"Which hyperparameters of {found.contender} mattered",
        note=f"From {found.trials} whole trials, by a random forest that explains {found.explained * 100:.0f}% of "
        f"the variance of held-out scores. Only combinations explain {found.together * 100:.0f}%. "
        "Lines: the middle half of its trees.",
        figure={"data": [bars], "layout": picture},
        head=("hyperparameter", "share alone", "middle half of the trees"),
        rows=rows,
    )


def recipes_chart(
    trials: Sequence[TrialResult], name: str, index: int, space: Mapping[str, Any], metric: Metric
) -> Chart | None:
    """Parallel coordinates, from top to bottom so that a phone has room: every trial is a line."""
    own = [trial for trial in trials if trial.contender == name and trial.kind == "trial"]
    axes, whole = scales(space, own), whole_trials(trials, name)
    if not axes or len(own) < 2:
        return None
    order = sorted(whole, key=lambda trial: trial.validation or 0.0, reverse=metric.higher_is_better)
    quarter = {trial.id: place * len(_QUARTERS) // len(order) for place, trial in enumerate(order)}
    stopped = [trial for trial in own if trial.id not in quarter]
    traces = [_line(trial, axes, "@soft", 1, "stopped early or failed") for trial in stopped]
    for trial in reversed(order):  # the best on top
        place = quarter[trial.id]
        traces.append(_line(trial, axes, f"@q{place}", 2.2 if place == 0 else 1.3, _QUARTERS[place]))
    seen: set[str] = set()
    for trace in traces:  # one legend entry a group
        trace["showlegend"] = trace["name"] not in seen
        seen.add(trace["name"])
    metric_name = metric.title or metric.name
    return Chart(
        id=f"recipes-{index}",
        title=f"Every recipe that {name} tried",
        note="Each line is a trial, read from top to bottom; the stronger the colour, "
        f"the better its validation {metric_name}. Stopped and failed trials are grey.",
        figure={"data": traces, "layout": _axes_layout(axes)},
        head=("trial", "ended", f"validation {metric_name}", *(axis.name for axis in axes)),
        rows=[_told(trial, axes, metric) for trial in [*order, *stopped]],
    )


def _line(trial: TrialResult, axes: Sequence[Scale], shade: str, width: float, group: str) -> dict[str, Any]:
    values = [trial.recipe.get(axis.name) for axis in axes]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": group,
        "legendgroup": group,
        "legendrank": 1000 + (_QUARTERS.index(group) if group in _QUARTERS else len(_QUARTERS)),
        "x": [axis.position(value) for axis, value in zip(axes, values, strict=True)],
        "y": [-place for place in range(len(axes))],
        "line": {"color": shade, "width": width, "dash": "solid" if group in _QUARTERS else "dot"},
        "marker": {"color": shade, "size": 6 if group in _QUARTERS else 4},
        "text": [
            f"trial {trial.number}: {label(axis.name)} {_value(v)}" for axis, v in zip(axes, values, strict=True)
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _axes_layout(axes: Sequence[Scale]) -> dict[str, Any]:
    picture = layout("from one end of what was searched to the other", "", 70 + _AXIS_PIXELS * len(axes))
    picture["xaxis"] |= {"range": [-0.04, 1.04], "showticklabels": False, "showgrid": False}
    picture["yaxis"] |= {"range": [0.45 - len(axes), 0.8], "showticklabels": False, "showgrid": False}
    picture["margin"] |= {"l": 8, "r": 8, "t": 10, "b": 34}
    lines, words = [], []
    plate = {"bgcolor": "@paper", "borderpad": 1, "showarrow": False}  # words stay readable over the lines
    for place, axis in enumerate(axes):
        rule = {"type": "line", "x0": 0, "x1": 1, "y0": -place, "y1": -place, "layer": "below"}
        lines.append({**rule, "line": {"color": "@soft", "width": 1}})
        name = label(axis.name, 30) + (" (log scale)" if axis.log else "")
        where = {"x": 0, "xanchor": "left", "y": -place, "yanchor": "bottom", "yshift": 7, **plate}
        words.append({**where, "text": name, "font": {"size": 12, "color": "@ink", "weight": 600}})
        for spot, text in axis.ticks:
            anchor = "left" if spot < 0.05 else "right" if spot > 0.95 else "center"
            tick = {"x": spot, "xanchor": anchor, "y": -place, "yanchor": "top", "yshift": -6, **plate}
            words.append({**tick, "text": label(text, 14), "font": {"size": 11, "color": "@soft"}})
    return picture | {"shapes": lines, "annotations": words}


def _told(trial: TrialResult, axes: Sequence[Scale], metric: Metric) -> tuple[str, ...]:
    value = "–" if trial.validation is None else score(trial.validation, metric)
    recipe = (_value(trial.recipe.get(axis.name)) for axis in axes)
    return (str(trial.number), trial.status.replace("_", " "), value, *recipe)


def _value(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
