"""What a reader should know of the search behind a winner, in sentences, for board, report and terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from automl.leaderboard.verdict import points
from automl.metrics import Metric
from automl.types import LeaderboardRow


def extension_notes(contest: Mapping[str, Any]) -> list[str]:
    """That the run was extended, by what, and whether somebody had seen the test by then."""
    return [_extension(one) for one in contest.get("extensions", ())]


def _extension(one: Mapping[str, Any]) -> str:
    parts = []
    if one["trials"]:
        parts.append(f"{one['trials']} trials for each contender")
    if one["device_seconds"]:
        parts.append(f"{one['device_seconds']:g} device-seconds for each contender")
    if one["contenders"]:
        parts.append(f"the contenders {', '.join(one['contenders'])}")
    seen = "adaptive: the test had been opened before" if one["test_had_been_opened"] else "the test was still sealed"
    return f"extended on {one['at'][:10]} by {' and '.join(parts)}; {seen}"


def search_notes(winners: Mapping[str, Any]) -> list[str]:
    """Of every contender: winners at the edge of a range, and early stopping that switched itself off."""
    return [note for name, winner in winners.items() for note in _notes(name, winner or {})]


def _notes(name: str, winner: Mapping[str, Any]) -> Iterator[str]:
    for edge in winner.get("edges", ()):
        told = (
            f"{name}: the winning {edge['parameter']} {edge['value']:.3g} lies at the {edge['side']} edge of the "
            f"range {edge['low']:g} to {edge['high']:g} that was searched"
        )
        yield f"{told}; a wider one may hold a better recipe (--search-spaces)" if edge["can_widen"] else told
    for one in winner.get("foresight", ()):
        if not one["stops"]:
            yield (
                f"{name}: early stopping switched itself off, because the order after {one['rung']:,} samples hardly "
                f"agreed with the order at the end (Kendall tau {one['kendall_tau']:.2f} over {one['trials']} trials)"
            )


def tuning_notes(rows: Sequence[LeaderboardRow], metric: Metric) -> Iterator[str]:
    """Of every contender whose tuning did not clearly help: by how much, and its untuned default instead."""
    for row in rows:
        gain = row.tuned_minus_default
        if gain is None or not row.default_recipe or row.recipe == row.default_recipe or gain["low"] > 0:
            continue
        by = f"{'-' if gain['mean'] < 0 else '+'}{points(gain['mean'], metric)}"
        clearly = "tuning made it worse" if gain["high"] < 0 else "tuning did not clearly help"
        other = ", ".join(
            f"{name} {_value(value)}" for name, value in row.default_recipe.items() if row.recipe.get(name) != value
        )
        choice = "is the better choice" if gain["high"] < 0 else "is as good a choice"
        yield (
            f"{row.contender}: {clearly} ({by} on the test); its untuned default {choice} ({other}), "
            "and --trials 1 trains just that"
        )


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def foresight_table(winners: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Contender, rung, whole trials, Kendall's tau of rung and end, whether the rung stopped trials to the end."""
    return [
        (
            name,
            f"{one['rung']:,}",
            str(one["trials"]),
            "\u2013" if one["kendall_tau"] is None else f"{one['kendall_tau']:.2f}",
            "on" if one["stops"] else "switched off",
        )
        for name, winner in winners.items()
        for one in (winner or {}).get("foresight", ())
    ]
