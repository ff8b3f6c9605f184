"""Latencies that were measured while other programs held the machine: told wherever a latency stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from automl.leaderboard.verdict import listed
from automl.types import LeaderboardRow


def disturbance(measured: Mapping[str, Any]) -> dict[str, Any] | None:
    """The load under which a row was timed, where others were in the way; None where not, or where it is not told."""
    load: dict[str, Any] = measured.get("load") or {}
    return load if load.get("busy") else None


def latency_text(milliseconds: float | None, busy: Mapping[str, Any] | None, missing: str = "") -> str:
    """'12.3 ms', with a word to it where the machine was busy."""
    if milliseconds is None:
        return missing
    return f"{milliseconds:.1f} ms{' (busy)' if busy else ''}"


def busy_notes(rows: Sequence[LeaderboardRow]) -> Iterator[str]:
    """One sentence on all latencies that cannot be compared, for the notes and beside the figures."""
    timed = [row for row in rows if row.latency_ms_p50 is not None]
    disturbed = [row for row in timed if row.latency_busy]
    if not disturbed:
        return
    of = "every row" if len(disturbed) == len(timed) else listed([row.contender for row in disturbed])
    worst = max((row.latency_busy for row in disturbed if row.latency_busy), key=_held)
    yield f"the latency of {of} was measured while the machine was busy ({load_words(worst)}): not comparable"


def _held(load: Mapping[str, Any]) -> float:
    return float(load.get("others_cores") or load.get("load_average") or 0.0)


def load_words(load: Mapping[str, Any]) -> str:
    """'load 6.2 on 2 cores, others held 1.4 of them'."""
    average, others, cores = load.get("load_average"), load.get("others_cores"), load["cores"]
    words = [] if average is None else [f"load {average:.1f} on {cores} core{'s' if cores != 1 else ''}"]
    return ", ".join(words if others is None else [*words, f"others held {others:.1f} of {cores}"])
