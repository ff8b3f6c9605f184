"""The board in one sentence, and who won."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from automl.metrics import Metric
from automl.types import LeaderboardRow

if TYPE_CHECKING:  # its packages take seconds, and the terminal and every worker come by here
    from automl.leaderboard.statistics import Comparison

_NAMED = 3
"""More rows than this behind the leader are told as a range."""


def winner_of(rows: Sequence[LeaderboardRow]) -> str | None:
    """The one contender of the first tie group.

    None where several tie there, or where no contender is separable from the best baseline.
    """
    first = [row for row in rows if row.status == "ok" and row.tie_group == 1]
    contenders = [row for row in first if row.kind == "contender"]
    if len(contenders) != 1 or not first or first[0].kind != "contender":
        return None
    baselines = [row for row in rows if row.status == "ok" and row.kind == "baseline"]
    if baselines and baselines[0] in first:
        return None
    return contenders[0].contender if not any(row.kind == "baseline" for row in first) else None


def verdict(
    rows: Sequence[LeaderboardRow],
    comparisons: Sequence[Comparison],
    metric: Metric,
    not_comparable: Sequence[str] = (),
) -> str:
    """One sentence: who leads or ties, who is worse and by how much, who failed.

    Before that, where the rows say nothing about the contenders: that all score the same, or predict one class.
    """
    parts = [
        *_nothing_learnt(rows, metric),
        *_leaders(rows, metric),
        *_followers(rows, comparisons, metric),
        *_failures(rows),
    ]
    sentence = "; ".join(parts)
    if not_comparable:
        more = f" and {len(not_comparable) - 1} more" if len(not_comparable) > 1 else ""
        sentence = f"Not comparable ({not_comparable[0]}{more}): {sentence}"
    return sentence


def points(value: float, metric: Metric) -> str:
    """A difference as people say it: '1.8 points'."""
    if metric.points == 100.0:
        return f"{abs(value) * 100:.1f} points"
    return f"{abs(value) * metric.points:.3f}"


def score(value: float, metric: Metric) -> str:
    """A score as people say it: '97.2' for a share, '0.412' for a log loss."""
    return f"{value * 100:.1f}" if metric.points == 100.0 else f"{value * metric.points:.3f}"


def difference(one: Comparison, metric: Metric) -> str:
    """'1.8 points (95% CI 0.9 to 2.7)', told from the better row's side."""
    return with_interval(one.difference, one.low, one.high, metric)


def with_interval(value: float, low: float, high: float, metric: Metric) -> str:
    """The same of any difference."""
    factor, digits = (100.0, 1) if metric.points == 100.0 else (metric.points, 3)
    return f"{points(value, metric)} (95% CI {low * factor:.{digits}f} to {high * factor:.{digits}f})"


def listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _nothing_learnt(rows: Sequence[LeaderboardRow], metric: Metric) -> list[str]:
    """What makes a ranking of these rows worthless, whoever stands first."""
    ok = [row for row in rows if row.status == "ok"]
    contenders = [row for row in ok if row.kind == "contender"]
    found = []
    if contenders and all(row.collapsed_finals == len(row.seeds) for row in contenders):
        who = f"{contenders[0].contender} predicts" if len(contenders) == 1 else "Every contender predicts"
        found.append(f"{who} one class for all test rows in every final, so nothing was learnt")
    if len(ok) > 1 and len({row.test_mean for row in ok}) == 1 and ok[0].test_mean is not None:
        name = metric.title or metric.name
        found.append(
            f"{'every' if found else 'Every'} row scores the same ({name} {score(ok[0].test_mean, metric)}), so this "
            "board tells nothing apart: look at the data and its findings"
        )
    return found


def _leaders(rows: Sequence[LeaderboardRow], metric: Metric) -> list[str]:
    if any(row.kind == "contender" for row in rows) and not any(
        row.kind == "contender" and row.status == "ok" for row in rows
    ):
        return ["No contender could be scored"]
    first = [row for row in rows if row.status == "ok" and row.tie_group == 1]
    if not first:
        return ["no row could be scored"]
    contenders = [row.contender for row in first if row.kind == "contender"]
    baselines = [row.contender for row in first if row.kind == "baseline"]
    if not contenders:
        return [f"No contender beats the baseline {listed(baselines)}"]
    if baselines:
        word = "baseline" if len(baselines) == 1 else "baselines"
        return [f"{listed(contenders)} cannot be told from the {word} {listed(baselines)}"]
    if len(contenders) > 1:
        return [f"{listed(contenders)} tie"]
    best = first[0]
    assert best.test_mean is not None
    assert best.test_low is not None
    assert best.test_high is not None
    low, high = score(best.test_low, metric), score(best.test_high, metric)
    name = metric.title or metric.name
    return [f"{best.contender} wins with {name} {score(best.test_mean, metric)} (95% CI {low} to {high})"]


def _followers(rows: Sequence[LeaderboardRow], comparisons: Sequence[Comparison], metric: Metric) -> list[str]:
    ok = [row for row in rows if row.status == "ok"]
    if not ok:
        return []
    behind = {row.contender: row for row in ok if row.tie_group > 1}
    told = [one for one in comparisons if one.better == ok[0].contender and one.worse in behind]
    contenders = [one for one in told if behind[one.worse].kind == "contender"]
    baselines = [one for one in told if behind[one.worse].kind == "baseline"]
    parts = []
    if len(contenders) > _NAMED:
        gaps = sorted(abs(one.difference) for one in contenders)
        low, high = points(gaps[0], metric).removesuffix(" points"), points(gaps[-1], metric)
        parts.append(f"the {len(contenders)} other contenders are worse by {low} to {high}")
    else:
        parts += [f"{one.worse} is worse by {difference(one, metric)}" for one in contenders]
    tied = any(row.kind == "baseline" for row in ok if row.tie_group == 1)
    if baselines and not tied:  # where a baseline leads or ties, the sentence named it already
        best = baselines[0]
        parts.append(f"the best baseline, {best.worse}, is worse by {difference(best, metric)}")
    return parts


def _failures(rows: Sequence[LeaderboardRow]) -> list[str]:
    failed = [row.contender for row in rows if row.status == "failed" and row.kind == "contender"]
    return [f"{listed(failed)} failed"] if failed else []
