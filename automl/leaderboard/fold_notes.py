"""What is told of folds: before a run, on its board, and in its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from automl.leaderboard.folds import CANDIDATES, folds_of
from automl.leaderboard.verdict import score
from automl.metrics import Metric

FEW_VALIDATION_ROWS = 200
"""With fewer, one row is half a point or more: more than most recipes differ by."""
SUGGESTED = 5


def fold_plan(contest: Mapping[str, Any]) -> Iterator[str]:
    """What the folds of a contest are for, in a line of its plan."""
    folds = folds_of(contest)
    if folds is not None:
        leading = min(CANDIDATES, contest["budget"].get("trials") or CANDIDATES)
        others = "the other" if folds == 2 else f"the other {folds - 1}"
        played = f"the {leading} recipes that lead it are trained on {others} too and the best mean wins"
        if leading == 1:
            played = "and with one trial nothing plays off on others"
        yield f"folds: {folds}; the search is judged on the first, {played}; every final learns from a cut of its own"


def fold_advice(contest: Mapping[str, Any]) -> str | None:
    """That several cuts would choose better, where one small one chooses; None where not, or where they cannot.

    Given validation rows are kept as they are, and rows that are cut by time have one cut.
    """
    rows: int = contest["counts"]["validation"]
    if folds_of(contest) is not None or rows >= FEW_VALIDATION_ROWS or not contest.get("may_fold"):
        return None
    return f"with so few, --folds {SUGGESTED} chooses the recipe more surely"


def fold_notes(contest: Mapping[str, Any], winners: Mapping[str, Any], metric: Metric) -> Iterator[str]:
    """Of every contender with folds: which recipes played for the win, on how many folds, and how they did."""
    folds = folds_of(contest)
    for name, winner in winners.items() if folds is not None else ():
        played = (winner or {}).get("playoff") or []
        if not played:
            if (winner or {}).get("trial"):
                yield f"{name}: chosen on the first fold alone, for there was no play-off"
            continue
        means = ", ".join(f"{one['trial']} {_mean(one, metric)}" for one in played)
        first = max(played, key=lambda one: _turned(one["values"].get("1"), metric))
        if played[0]["mean"] is None:
            yield f"{name}: every recipe of the play-off failed on some fold, so the leader of the search was taken"
            continue
        led = "it had led the search too" if first is played[0] else f"{first['trial']} had led the search"
        decided = f"has the best mean over {played[0]['folds']} of {folds} folds ({means})"
        yield f"{name}: the recipe of {played[0]['trial']} {decided}; {led}"


def playoff_table(
    contest: Mapping[str, Any], winners: Mapping[str, Any], metric: Metric
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Of every recipe that played: its value on each fold, and the mean that decided; the best of a contender first.

    No lines without folds, or where nothing played.
    """
    numbers = [str(number) for number in range(1, (folds_of(contest) or 0) + 1)]
    head = ("contender", "trial", "mean", *(f"fold {number}" for number in numbers))
    rows = []
    for name, winner in winners.items():
        for one in (winner or {}).get("playoff") or ():
            told = [score(one["values"][number], metric) if number in one["values"] else "–" for number in numbers]
            number = one["trial"].rpartition("-")[2].lstrip("0") or "0"
            rows.append((name, number, _mean(one, metric), *told))
    return head, rows


def _mean(one: Mapping[str, Any], metric: Metric) -> str:
    return "failed" if one["mean"] is None else score(one["mean"], metric)


def _turned(value: float | None, metric: Metric) -> float:
    if value is None:
        return float("-inf")
    return value if metric.higher_is_better else -value


def spread_words(contest: Mapping[str, Any]) -> str:
    """What the seeds of finals vary, for the protocol."""
    if folds_of(contest) is None:
        return "seeds and test rows as crossed random effects, t quantiles"
    return (
        "seeds, each with training rows of its own (a cut for every final), and test rows as crossed random effects, "
        "t quantiles; the cuts share rows, so rows newly collected would vary more"
    )
