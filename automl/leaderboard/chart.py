"""What every picture of the report is made of: a plotly figure in plain JSON and a table that says the same.

Colours are names such as '@accent': the page fills them in from its style sheet, in light, dark and print.
Text from data goes through `label`, because plotly reads tags and entities in titles, ticks and hovers.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from automl.metrics import Metric

COLOURS = 8


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture: what its title says, what it shows, and the same as a table."""

    id: str
    title: str
    note: str
    figure: dict[str, Any]
    head: Sequence[str]
    rows: Sequence[Sequence[str]] = field(default=())


def label(text: object, longest: int = 40) -> str:
    """Data text for plotly: on one line, not too long; tags, entities and formulas shown as they are."""
    line = " ".join(str(text).split())
    short = line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
    return html.escape(short, quote=False).replace("$", "&#36;")


def layout(x_title: str, y_title: str, height: int) -> dict[str, Any]:
    axis = {"gridcolor": "@line", "linecolor": "@line", "zeroline": False, "fixedrange": True}
    return {
        "height": height,
        "margin": {"l": 62, "r": 14, "t": 14, "b": 52},
        "paper_bgcolor": "@paper",
        "plot_bgcolor": "@paper",
        "font": {"color": "@ink", "size": 12},
        "hoverlabel": {"bgcolor": "@band", "bordercolor": "@line", "font": {"color": "@ink"}},
        "xaxis": {**axis, "title": {"text": x_title}},
        "yaxis": {**axis, "title": {"text": y_title}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 11.5}},
        "dragmode": False,
    }


def unit(metric: Metric) -> str:
    return " (%)" if metric.points == 100.0 and metric.name not in ("mcc",) else ""


def colour(index: int) -> str:
    return f"@c{index % COLOURS}"


def dash(index: int) -> str:
    return ("solid", "dash", "dot")[index // COLOURS % 3]
