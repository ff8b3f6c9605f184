"""report.html: one file that needs no network, made from the run folder's records and the board."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from automl.errors import RunFolderError
from automl.leaderboard import charts, explain, readings, scored_charts, search_charts, tables
from automl.leaderboard.board import Leaderboard
from automl.leaderboard.busy import busy_notes, latency_text
from automl.leaderboard.calibration import Calibration
from automl.leaderboard.chart import Chart
from automl.leaderboard.classes import class_table, worst_class
from automl.leaderboard.examples import examples, varied_examples
from automl.leaderboard.fold_notes import playoff_table
from automl.leaderboard.importance import Importance, importance
from automl.leaderboard.overfitting import fit_of, overfitting
from automl.leaderboard.planned import in_words
from automl.leaderboard.quantities import seconds
from automl.leaderboard.quoting import finding_quotes
from automl.leaderboard.search_notes import foresight_table
from automl.leaderboard.slices import slice_table
from automl.leaderboard.store import RunFolder, write_atomically
from automl.leaderboard.story import story
from automl.leaderboard.verdict import score
from automl.metrics import Metric, get_metric
from automl.pages.page import environment
from automl.types import LeaderboardRow, TrialResult

TEMPLATES = Path(__file__).parent / "templates"
_OPEN_CURVES = 4
"""More contenders than this have their learning curves folded away."""


def write_report(folder: RunFolder, board: Leaderboard) -> Path:
    """The report of a scored run, in its report.html. Raises RunFolderError where records are missing."""
    if not folder.scores_file.exists():
        raise RunFolderError(
            f"{folder.path} has no {folder.scores_file.name}", "a scored run", f"automl board {folder.path}"
        )
    page = _templates().get_template("report.html").render(_content(folder, board))
    write_atomically(folder.report_html, page)
    folder.publish(folder.report_html)
    return folder.report_html


def _templates() -> Environment:
    """The report's templates, with how it writes times, numbers and figures."""
    made = environment(TEMPLATES)
    made.filters |= {"seconds": seconds, "count": explain.count, "inline_json": inline_json}
    made.filters |= {"trials": charts.trial_counts, "latency": latency_text}
    return made


def inline_json(value: Any) -> Markup:
    """JSON that can stand in a script element: nothing in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _content(folder: RunFolder, board: Leaderboard) -> dict[str, Any]:
    contest, metric = folder.read_contest(), get_metric(board.metric)
    scores = json.loads(folder.scores_file.read_text(encoding="utf-8"))
    trials, findings = folder.counting_trials(), folder.profile().get("findings", [])
    quoted, varied = examples(folder, board, scores), varied_examples(folder)
    names, fixed = [row.contender for row in board.rows if row.kind == "contender"], folder.read_winners()
    curves = [charts.curves_chart(trials, name, index, metric) for index, name in enumerate(names)]
    winners, recipe_rows = explain.recipes(board)
    found = [importance(name, contest.get("spaces", {}).get(name, {}), trials, metric) for name in names]
    raced = board.protocol.get("readings")
    return {
        "name": contest["name"],
        "board": board,
        "rows": [_shown(row, metric) for row in board.rows],
        "metric": metric.title or metric.name,
        "other_metrics": _other_metrics(board, metric),
        "cost_table": tables.cost_table(board),
        "slices": slice_table(board.rows, metric),
        "pairs": tables.pair_table(board, metric),
        "optimism": tables.optimism_table(board, metric),
        "takeaways": explain.takeaways(board, metric),
        "trust": list(explain.reasons_to_trust(board, metric)),
        "scores": charts.scores_chart(board.rows, metric),
        "history": charts.history_chart(trials, names, metric),
        "curves": _present(curves),
        "fold_curves": len(names) > _OPEN_CURVES,
        "notes": board.protocol.get("notes", []),
        "readings": raced,
        "reading_table": readings.reading_table(raced, metric) if raced else None,
        "curve_table": readings.curve_table(board.protocol.get("budget_curves") or {}, metric),
        "playoff": playoff_table(contest, {name: fixed.get(name) for name in names}, metric),
        "foresight": foresight_table(fixed),
        "story": story(
            board,
            {"profile": folder.profile(), "repairs": folder.cleaning().get("repairs", [])},
            found,
            [overfitting(name, fit) for name in names if (fit := fit_of(trials, name)) is not None],
            trials,
        ),
        **_searched(trials, found, contest.get("spaces", {}), metric),
        "mistakes": _mistakes(board, scores),
        "calibrations": _calibrations(board, scores),
        "busy": list(busy_notes(board.rows)),
        "costs": _present(
            [scored_charts.search_cost_chart(board.rows, metric), scored_charts.answer_cost_chart(board.rows, metric)]
        ),
        "examples": quoted,
        "varied": varied,
        # the values of a column are the data's
        "quotes_rows": bool(quoted or varied)
        or any(row.slices for row in board.rows)
        or any(finding_quotes(finding) for finding in findings),
        "quoting_findings": any(finding_quotes(finding) for finding in findings),
        "repairs": folder.cleaning().get("repairs", []),
        "findings": findings,
        "spaces": {name: explain.space_table(space) for name, space in contest.get("spaces", {}).items()},
        "winners": winners,
        "recipe_rows": recipe_rows,
        "steps": [
            (str(one["step"]), one["name"], one["state"], one["told"]) for one in board.protocol.get("steps", ())
        ],
        "protocol": explain.protocol_table(board, contest.get("reasons", {})),
        "plan": in_words(board.plan),
        "environment": _flat(folder.environment()),
        "script": Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
        "plotly": _packed_plotly(),
    }


@lru_cache(maxsize=1)
def _packed_plotly() -> str:
    """Plotly's bundle for the page to unpack: gzip in base64 is less than half of the 4.8 MB that it has."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode("utf-8"), mtime=0)).decode("ascii")


def _present(made: Sequence[Chart | None]) -> list[Chart]:
    return [chart for chart in made if chart is not None]


def _searched(
    trials: Sequence[TrialResult], found: Sequence[Importance], spaces: Mapping[str, Any], metric: Metric
) -> dict[str, Any]:
    """Importance and recipes of every contender; where its trials cannot tell, a reason in the place of a bar."""
    bars = [search_charts.importance_chart(one, index) for index, one in enumerate(found)]
    lines = [
        search_charts.recipes_chart(trials, one.contender, index, spaces.get(one.contender, {}), metric)
        for index, one in enumerate(found)
    ]
    unknown = [(one.contender, one.why_not) for one in found if one.why_not]
    return {"importances": _present(bars), "no_importance": unknown, "recipes": _present(lines)}


def _calibrations(board: Leaderboard, scores: Mapping[str, Any]) -> list[Chart]:
    found = {one["contender"]: one.get("calibration") for one in scores["rows"] if one["kind"] == "contender"}
    told = [(row.contender, found.get(row.contender)) for row in board.rows if row.kind == "contender"]
    return [
        scored_charts.calibration_chart(name, number, Calibration.from_json(values))
        for number, (name, values) in enumerate((name, values) for name, values in told if values)
    ]


def _shown(row: LeaderboardRow, metric: Metric) -> dict[str, Any]:
    """A row with its numbers as words."""
    shown: dict[str, Any] = {"row": row, "score": "–", "interval": "", "tuned": "–"}
    if row.test_mean is not None and row.test_low is not None and row.test_high is not None:
        shown["score"] = score(row.test_mean, metric)
        shown["interval"] = f"{score(row.test_low, metric)} to {score(row.test_high, metric)}"
    if row.tuned_minus_default is not None:
        factor, digits = (100, 1) if metric.points == 100 else (metric.points, 3)
        values = [row.tuned_minus_default[key] * factor for key in ("mean", "low", "high")]
        mean, low, high = (f"{value:+.{digits}f}".replace("-", "−") for value in values)
        shown |= {"tuned": mean, "tuned_interval": f"{low} to {high}"}
        if not any(values):
            shown |= {"tuned": "default won", "tuned_interval": ""}
    return shown


def _other_metrics(board: Leaderboard, metric: Metric) -> dict[str, Any]:
    """Every metric but the deciding one, how far each row's confidence is off, and the class it misses most."""
    names = list(dict.fromkeys(name for row in board.rows for name in row.metrics if name != metric.name))
    known = [get_metric(name) for name in names]
    rows = [
        (row.contender, [*(_with_interval(row, one) for one in known), _calibration_error(row), _worst_class(row)])
        for row in board.rows
        if row.metrics
    ]
    head = [*(one.title or one.name for one in known), "calibration error (ECE, points)", "worst class, its recall"]
    return {"head": head, "rows": rows}


def _calibration_error(row: LeaderboardRow) -> tuple[str, str]:
    return ("–" if row.calibration_error is None else f"{row.calibration_error * 100:.1f}"), ""


def _worst_class(row: LeaderboardRow) -> tuple[str, str]:
    worst = worst_class(row.classes)
    return (
        ("–", "") if worst is None else (f"{(worst.recall or 0.0) * 100:.1f}", f"{worst.name} ({worst.rows:,} rows)")
    )


def _with_interval(row: LeaderboardRow, metric: Metric) -> tuple[str, str]:
    """A metric's test mean, and its interval, as words."""
    if metric.name not in row.metrics:
        return "–", ""
    bounds = [score(one, metric) for one in row.metric_intervals.get(metric.name, ())]
    return score(row.metrics[metric.name], metric), " to ".join(bounds)


def _mistakes(board: Leaderboard, scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Confusions and classes of every contender that was scored, in the order of the board."""
    found = {one["contender"]: one for one in scores["rows"] if one["kind"] == "contender"}
    classes: list[str] = scores["classes"]
    mistakes = []
    for number, row in enumerate(row for row in board.rows if row.contender in found):
        confusion = np.array(found[row.contender]["confusion"], dtype=np.float64)
        chart = charts.confusion_chart(row.contender, number, confusion, classes, len(row.seeds))
        by_class = class_table(confusion, classes)
        mistakes.append({"name": row.contender, "chart": chart, "classes": by_class})
    return mistakes


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested values as lines of name and text."""
    lines: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{before}{name}: ")
        else:
            told = ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
            lines.append((f"{before}{name}", told))
    return lines
