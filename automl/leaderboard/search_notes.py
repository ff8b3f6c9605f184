"""What a reader should know of the search behind a winner, in sentences, for board, report and terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


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
