"""The report's sentences: what to take, what it costs, what is not known, and why to believe the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from automl.leaderboard.board import Leaderboard
from automl.leaderboard.busy import latency_text, load_words
from automl.leaderboard.fold_notes import fold_plan
from automl.leaderboard.quantities import seconds
from automl.leaderboard.settling import settling
from automl.leaderboard.verdict import listed, points, score
from automl.metrics import Metric
from automl.types import LeaderboardRow

_WIDE = 2.0
"""A search whose best value lies this many points above the finals flattered itself."""


def count(value: float | None) -> str:
    """A large number in short: '22.7 M'."""
    if value is None:
        return "–"
    for size, letter in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"


def money(value: float | None) -> str:
    """An amount in the currency of --price-per-hour, to a hundredth of it."""
    if value is None:
        return "–"
    return f"{value:,.2f}" if value >= 0.01 or value == 0 else "under 0.01"


def takeaways(board: Leaderboard, metric: Metric) -> list[tuple[str, str]]:
    """Question and answer for a reader who never heard of an interval."""
    ok = [row for row in board.rows if row.status == "ok"]
    take = _take(board, ok, metric)
    if not board.comparable:
        take = f"Undecided, because a rule was broken. If that is of no matter to you: {take}"
    answers = [("Which one to take", take)]
    spent = sum(row.device_seconds for row in board.rows)
    cost = f"The whole comparison used {seconds(spent)} of device time."
    if total := board.wall_seconds.get("total"):
        cost = f"The whole comparison took {seconds(total)} and used {seconds(spent)} of device time."
    if (price := board.protocol.get("price_per_hour")) is not None:
        cost += f" At {price:g} an hour of device time that is {money(spent / 3600 * price)}."
    choice = _choice(board, ok)
    if choice is not None and choice.latency_ms_p50 is not None:
        cost += f" One answer of {choice.contender} takes {choice.latency_ms_p50:.1f} ms"
        busy = choice.latency_busy
        cost += f", measured while the machine was busy ({load_words(busy)})." if busy else "."
    answers.append(("What it costs", cost))
    answers.append(("What is not known", _unknown(board, metric)))
    if "to_settle" in board.protocol["statistics"]:  # a board of an older version does not know
        answers.append(("What would settle it", _settling(board, metric)))
    return answers


def _take(board: Leaderboard, ok: Sequence[LeaderboardRow], metric: Metric) -> str:
    choice = _choice(board, ok)
    if choice is None:
        return "Nothing: no row could be scored."
    if board.winner is not None:
        assert choice.test_mean is not None
        return (
            f"{choice.contender}. It scored {score(choice.test_mean, metric)} on average, and the gap "
            "to the rest is too large to be chance."
        )
    if choice.kind == "baseline":
        return (
            f"The simplest that is as good: {choice.contender}. No fine-tuned model is clearly better, "
            "so none is worth its cost on this evidence."
        )
    first = [row.contender for row in ok if row.tie_group == 1]
    latency, busy = choice.latency_ms_p50, choice.latency_busy
    reason = f", the fastest of them ({latency_text(latency, busy)} an answer)" if latency is not None else ""
    either = f"Either of {listed(first)}" if len(first) == 2 else f"Any of {listed(first)}"
    return f"{either}: what sets them apart may be chance. {choice.contender}{reason} will do."


def _choice(board: Leaderboard, ok: Sequence[LeaderboardRow]) -> LeaderboardRow | None:
    """The row to take: the winner, else a baseline that is as good, else the fastest of those that tie."""
    first = [row for row in ok if row.tie_group == 1]
    won = [row for row in first if row.contender == board.winner]
    timed = sorted(
        (row for row in first if row.latency_ms_p50 is not None), key=lambda row: row.latency_ms_p50 or 0.0
    )
    baselines = [row for row in first if row.kind == "baseline"]
    return next(iter([*won, *baselines, *timed, *first]), None)


def _unknown(board: Leaderboard, metric: Metric) -> str:
    statistics = board.protocol["statistics"]
    detectable, rows, seeds = statistics["detectable_difference"], board.protocol["test_rows"], fewest_finals(board)
    if detectable is None:
        return "There was nothing to compare with."
    told = (
        f"Differences under about {points(detectable, metric)} would mostly go unseen "
        f"with {rows:,} test rows and {seeds} final training{'s' if seeds != 1 else ''} each."
    )
    if detectable == 0:
        told = "The two that are compared do equally well on every row, so what would go unseen cannot be told."
    second = next((one for one in statistics["comparisons"] if one["better"] == board.winner), None)
    if second is not None:
        low, high = sorted(points(second[end], metric) for end in ("low", "high"))
        told = (
            f"By how much it is better: than {second['worse']} by {low.removesuffix(' points')} to {high}, "
            f"where in between nobody knows. {told}"
        )
    return f"{told} How it does on data of another kind than these test rows was not tried."


def _settling(board: Leaderboard, metric: Metric) -> str:
    protocol = board.protocol
    if not [row for row in board.rows if row.status == "ok"]:
        return "A row that can be scored."
    return settling(protocol["statistics"]["to_settle"], metric, protocol["test_rows"], protocol["margin"] / 100)


def fewest_finals(board: Leaderboard) -> int:
    """Finals of the contender that has the fewest: a time limit may have left some out."""
    had = [len(row.seeds) for row in board.rows if row.kind == "contender" and row.status == "ok"]
    return min(had, default=len(board.protocol["seeds"]))


def reasons_to_trust(board: Leaderboard, metric: Metric) -> Iterator[str]:
    """How the comparison was kept fair, with this run's numbers."""
    protocol = board.protocol
    openings, seeds, planned = protocol["test_openings"], fewest_finals(board), len(protocol["seeds"])
    if protocol.get("folds"):
        yield (
            f"Every contender had the same {protocol['folds']['count']} folds to learn from and to be chosen on, and "
            f"was scored on the same {protocol['test_rows']:,} test rows (split {board.split_fingerprint[:12]}). "
            "Baselines learnt from the first cut alone."
        )
    else:
        yield (
            "Every row learnt from the same training rows, was chosen on the same validation rows, and was "
            f"scored on the same {protocol['test_rows']:,} test rows (split {board.split_fingerprint[:12]})."
        )
    budget = budget_words(protocol["budget"])
    yield f"Every contender got the same budget, {budget}, out of which its failures were paid too."
    if seeds < planned:
        yield f"Not every contender had the {planned} finals that were planned; the one with the fewest had {seeds}."
    least = "at least " if seeds < planned else ""
    yield (
        f"Each winner was trained again on {least}{seeds} fresh seed{'s' if seeds != 1 else ''} that all contenders "
        "share; the scores above are the means of those, never the best one, and never the search's own."
    )
    if len(openings) == 1:
        yield "The test labels were opened once, after every winner was fixed."
    else:
        yield f"The test labels were opened {len(openings)} times, always after every winner was fixed."
    if seeds == 1:
        yield (
            "With one seed its influence cannot be seen; a spread of one point between seeds is assumed. "
            "Ask for --seeds 5 to measure it."
        )
    else:
        cuts = " (each with a cut of its own of these training rows)" if protocol.get("folds") else ""
        yield (
            f"Intervals say where the mean would lie, in 95 of 100 repeats, with new seeds{cuts} and new test rows. "
            "Rows tie unless they differ after Holm's correction "
            f"and by more than {protocol['margin']} points."
        )
    yield from _optimism(board, metric)


def _optimism(board: Leaderboard, metric: Metric) -> Iterator[str]:
    what, where = "its best trial", ""
    if board.protocol.get("folds"):
        what, where = "its winning recipe", " and the same cuts"
    for row in board.rows:
        gap = (row.optimism or {}).get("search_minus_finals")
        if gap is not None and gap * metric.points > _WIDE and metric.points == 100:
            yield (
                f"The search flattered {row.contender}: {what} was {points(gap, metric)} "
                f"better on validation when it was chosen than on fresh seeds{where}."
            )


def budget_words(budget: Mapping[str, Any]) -> str:
    if budget.get("device_seconds"):
        return f"{seconds(budget['device_seconds'])} of device time"
    return f"{budget.get('trials')} trials"


SAMPLERS = {
    "tpe": "Optuna TPE",
    "gp": "Optuna's Gaussian process",
    "random": "at random",
    "grid": "a grid in shuffled order",
}


def protocol_table(board: Leaderboard, reasons: Mapping[str, str]) -> list[tuple[str, str]]:
    """What was fixed before the search."""
    protocol = board.protocol
    split, rows = protocol["split"], protocol["split"]["rows"]
    limit, sampler = protocol["time_limit_seconds"], protocol["sampler"]
    horizon = f"{protocol['horizon_samples']:,} samples" if protocol["horizon_samples"] else "–"
    if protocol["max_epochs"]:
        horizon += f" ({protocol['max_epochs']} epochs)"
    if patience := protocol.get("patience_samples"):
        horizon += f", less where validation has not improved for {patience:,} samples"
    return [
        ("Task", f"{protocol['task']}{_because(reasons.get('task'))}"),
        ("Deciding metric", f"{board.metric}{_because(reasons.get('metric'))}"),
        ("Models", reasons.get("models") or "as asked for"),
        ("Rows", ", ".join(f"{part} {number:,}" for part, number in rows.items())),
        ("Split", f"{split['strategy']}, seed {split['seed']}, fingerprint {board.split_fingerprint[:16]}"),
        ("Budget of each contender", budget_words(protocol["budget"])),
        ("Time limit of the run", seconds(limit) if limit else "none"),
        ("Length of each training", horizon),
        ("Compared in the search after", ", ".join(f"{rung:,}" for rung in protocol["rungs"]) + " samples"),
        (
            "Proposals after the first trials",
            f"{SAMPLERS.get(sampler, sampler or '–')}{_because(reasons.get('sampler'))}",
        ),
        ("Remedies for unequal classes", reasons.get("imbalance") or "–"),
        ("Training inputs varied", reasons.get("variation") or "–"),
        *(("Folds", line.removeprefix("folds: ")) for line in fold_plan(protocol)),
        ("Seeds of the finals", ", ".join(str(seed) for seed in protocol["seeds"])),
        ("Counts as equal within", f"{protocol['margin']} points"),
        ("Slices that are told", listed(sliced) if (sliced := protocol.get("slices")) else "none asked for"),
        ("Intervals", protocol["statistics"]["interval"]),
        ("Pairs", protocol["statistics"]["pairs"]),
    ]


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def space_table(space: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, range and first value of every searched parameter, then what is fixed."""
    first = (space.get("first_trials") or [{}])[0]
    table = []
    for parameter in space.get("parameters", ()):
        if parameter.get("choices"):
            told = "one of " + ", ".join(_value(choice) for choice in parameter["choices"])
        else:
            told = f"{_value(parameter.get('low'))} to {_value(parameter.get('high'))}"
            told += ", log scale" if parameter.get("log") else ""
            told += ", or zero" if parameter.get("or_zero") else ""
        cases = parameter.get("when") or []
        cases = [cases] if isinstance(cases, Mapping) else cases  # how runs were written before there were several
        told += ", where " + ", or ".join(_case(case) for case in cases) if cases else ""
        started = first.get(parameter["name"]) if not cases or any(_holds(case, first) for case in cases) else None
        table.append((parameter["name"], told, _value(started)))
    fixed = space.get("fixed") or {}
    return [*table, *((name, "fixed", _value(value)) for name, value in fixed.items())]


def _holds(case: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    return all(recipe.get(other) in values for other, values in case.items())


def _case(case: Mapping[str, Any]) -> str:
    return " and ".join(f"{other} is {' or '.join(map(_value, values))}" for other, values in case.items())


def recipes(board: Leaderboard) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The winning recipes side by side: contenders, then a line a hyperparameter."""
    rows = [row for row in board.rows if row.recipe]
    names = list(dict.fromkeys(name for row in rows for name in row.recipe))
    return [row.contender for row in rows], [(name, [_value(row.recipe.get(name)) for row in rows]) for name in names]


def _value(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
