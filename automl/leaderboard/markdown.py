"""leaderboard.md: a table that stays a table whatever the names in it hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from automl.leaderboard.busy import latency_text
from automl.leaderboard.planned import in_words
from automl.leaderboard.settling import settling
from automl.leaderboard.verdict import score
from automl.metrics import Metric, get_metric

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$!@])")
_COLUMNS = "Rank,Contender,{metric} (95% CI),Tuned - default,Finals,Trials,Device-seconds,Latency".split(",")


def escape(text: object) -> str:
    """Text as it reads, whatever Markdown or HTML it holds; on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split())).replace("&", "&amp;")


def to_markdown(board: Mapping[str, Any]) -> str:
    """The verdict, the table, and what one must know to read it."""
    metric = get_metric(board["metric"])
    name = metric.title or metric.name
    head = [column.format(metric=escape(name)) for column in _COLUMNS]
    lines = [f"**{escape(board['verdict'])}.**", ""]
    for reason in board["not_comparable_because"]:
        lines += [f"> **Not comparable:** {escape(reason)}.", ""]
    lines += [_line(head), _line(["--:", ":--", *["--:"] * (len(head) - 2)])]
    lines += [_line(_cells(row, metric)) for row in board["rows"]]
    protocol = board["protocol"]
    notes = [f"- {escape(note)}." for note in protocol.get("notes", ())]
    if plan := protocol["statistics"].get("to_settle"):
        told = settling(plan, metric, protocol["test_rows"], protocol["margin"] / 100)
        notes.insert(0, f"- What would settle it: {escape(told)}")
    return "\n".join([*lines, "", *notes, *([""] if notes else []), _legend(board), "", *_plan(board)])


def _plan(board: Mapping[str, Any]) -> list[str]:
    """A short table of what was foretold and what came, where the run had a plan."""
    told = in_words(board.get("plan"))
    if not told:
        return []
    head = [_line(["The plan and the run", "foretold", "came"]), _line([":--", "--:", "--:"])]
    return [*head, *(_line([escape(cell) for cell in row]) for row in told), ""]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(row: Mapping[str, Any], metric: Metric) -> list[str]:
    name = escape(row["contender"])
    if row["kind"] == "baseline":
        name = f"*{name}* (baseline)"
    if row["status"] == "failed":
        return [str(row["rank"]), name, f"failed: {escape(row['error'])[:200]}", *["-"] * (len(_COLUMNS) - 3)]
    shown, low, high = (score(row[key], metric) for key in ("test_mean", "test_low", "test_high"))
    tuned = row["tuned_minus_default"]
    gain = "-"
    if tuned is not None:
        factor, digits = (100, 1) if metric.points == 100 else (metric.points, 3)
        values = [tuned[key] * factor for key in ("mean", "low", "high")]
        gain = f"{values[0]:+.{digits}f} ({values[1]:+.{digits}f} to {values[2]:+.{digits}f})"
        gain = gain if any(values) else "default won"
    trials = row["trials"]
    lost = trials["failed"] + trials["out_of_memory"]
    counted = f"{trials['completed']} done, {trials['pruned']} pruned" + (f", {lost} failed" if lost else "")
    return [
        str(row["rank"]),
        name,
        f"{shown} ({low} to {high})",
        gain,
        str(len(row["seeds"])) + (f" ({escape(row['error'])[:120]})" if row["error"] else ""),
        counted if row["kind"] == "contender" else "-",
        f"{row['device_seconds']:,.0f}",
        latency_text(row["latency_ms_p50"], row.get("latency_busy"), missing="-"),
    ]


def _legend(board: Mapping[str, Any]) -> str:
    protocol = board["protocol"]
    openings = len(protocol["test_openings"])
    opened = "once" if openings == 1 else f"{openings} times"
    folds = (protocol.get("folds") or {}).get("count")
    cuts = f", each with a cut of its own ({folds} folds)," if folds else ""
    return (
        "Rows with the same rank cannot be told apart. "
        f"Scores are means over {len(protocol['seeds'])} fresh seeds on {protocol['test_rows']:,} test rows "
        f"that no choice was made on (opened {opened}); intervals cover new seeds{cuts} and new rows. "
        f"Split {escape(board['split_fingerprint'][:12])}."
    )
