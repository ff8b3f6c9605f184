"""What would settle a board without a winner: how many more test rows, or seeds, computed from its own spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl.leaderboard.planning import alpha_left, larger, rows_needed, seeds_needed
from automl.leaderboard.statistics import Comparison
from automl.leaderboard.verdict import points, winner_of
from automl.metrics import Metric
from automl.types import LeaderboardRow

MANY_SEEDS = 10
"""Asked for beside more rows, where neither is enough alone."""


def to_settle(
    rows: Sequence[LeaderboardRow], comparisons: Sequence[Comparison], margin: float
) -> dict[str, Any] | None:
    """Which pair is open, and what would show its gap in 80% of repeats; None where nothing is open.

    {"better", "worse", "difference", "gap", "test_rows", "seeds", "seeds_now", "with_seeds"}: `gap` is what was
    seen, at least the margin; `test_rows` are with `with_seeds` seeds, which are those of now unless only both
    together would do; `seeds` are on the rows of now. A number is None where no sensible one is enough.
    """
    pair = _open_pair(rows, comparisons)
    if pair is None:
        return None
    gap, alpha = max(pair.difference, margin), alpha_left(_open_pairs(rows))
    spread, with_seeds = pair.spread, pair.spread.seeds
    wanted, seeds = rows_needed(spread, gap, alpha), seeds_needed(spread, gap, alpha)
    if wanted is None and seeds is None and spread.seeds:
        with_seeds = max(MANY_SEEDS, 2 * spread.seeds)
        wanted = rows_needed(larger(spread, seeds=with_seeds), gap, alpha)
    return {
        "better": pair.better, "worse": pair.worse, "difference": pair.difference, "gap": gap,
        "test_rows": wanted, "seeds": seeds, "seeds_now": spread.seeds, "with_seeds": with_seeds,
    }  # fmt: skip


def _open_pair(rows: Sequence[LeaderboardRow], comparisons: Sequence[Comparison]) -> Comparison | None:
    """The best row and the one that keeps it from winning: a baseline that ties with it, else the next contender."""
    first = [row for row in rows if row.status == "ok" and row.tie_group == 1]
    if len(first) < 2 or winner_of(rows) is not None:
        return None
    leader, others = first[0], first[1:]
    # a baseline in the lead is asked about its best contender; a contender, about its best baseline if one ties
    rivals = [row for row in others if row.kind != leader.kind] or others
    return next(
        (one for one in comparisons if (one.better, one.worse) == (leader.contender, rivals[0].contender)), None
    )


def _open_pairs(rows: Sequence[LeaderboardRow]) -> int:
    groups = [row.tie_group for row in rows if row.status == "ok"]
    sizes = [groups.count(group) for group in set(groups)]
    return sum(size * (size - 1) // 2 for size in sizes)


def settling(plan: Mapping[str, Any] | None, metric: Metric, test_rows: int, margin: float) -> str:
    """The plan in sentences, for somebody who decides whether to label more rows."""
    if plan is None:
        return "Nothing more is needed for this choice."
    seen, gap, seeds = plan["difference"], plan["gap"], plan["seeds_now"]
    names = f"{plan['better']} and {plan['worse']}"
    if seen < gap:
        opening = (
            f"{names} scored {points(seen, metric)} apart, less than the {points(margin, metric)} that count "
            f"as equal. To tell whether they are {points(gap, metric)} apart"
        )
    else:
        opening = (
            f"{names} scored {points(seen, metric)} apart. If that gap is real, then to show it in 8 of 10 repeats"
        )
    ways = []
    if (wanted := plan["test_rows"]) is not None:
        more = f"about {_rounded(wanted):,} test rows (there are {test_rows:,})"
        if plan["with_seeds"] != seeds:
            ways.append(f"{more} together with {plan['with_seeds']} seeds")
        else:
            ways.append(f"{more} with as many seeds" if seeds else more)
    if plan["seeds"] is not None:
        ways.append(f"{plan['seeds']} seeds (there are {seeds}) on the same rows")
    if not ways:
        return f"{opening}, no sensible number of test rows or seeds is enough: take either."
    told = f"{opening}, it takes {', or '.join(ways)}."
    if plan["with_seeds"] != seeds:
        told += " Neither alone would do."
    elif seeds and plan["seeds"] is None:
        told += " More seeds alone would not do."
    elif wanted is None:
        told += " More test rows alone would not do."
    return told


def _rounded(rows: int) -> int:
    """Two figures: the estimate is no better than that."""
    size: int = 10 ** max(len(str(rows)) - 2, 0)
    return -(-rows // size) * size
