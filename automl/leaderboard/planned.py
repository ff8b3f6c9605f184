"""What was foretold of a run, beside what came of it: so that the next estimate can be judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from statistics import mean
from typing import Any

from automl.leaderboard.quantities import about, about_range, data_size, seconds
from automl.leaderboard.store import RunFolder, write_atomically
from automl.types import LeaderboardRow, TrialResult

Compared = dict[str, Any]


def write_plan(folder: RunFolder, plan: Mapping[str, Any]) -> None:
    write_atomically(folder.plan_file, json.dumps(plan, indent=1, ensure_ascii=False))


def read_plan(folder: RunFolder) -> dict[str, Any]:
    """{"terms", "probes", "estimate", "most_disk_bytes", ...}: what the run was expected to cost; {} before."""
    if not folder.plan_file.exists():
        return {}
    plan: dict[str, Any] = json.loads(folder.plan_file.read_text(encoding="utf-8"))
    return plan


def note_disk(folder: RunFolder) -> None:
    """Note beside the plan how much the folder holds now, where that is more than ever before."""
    plan, held = read_plan(folder), 0
    for file in folder.path.rglob("*"):
        with suppress(FileNotFoundError):  # a tracker may be at work in its own folder
            held += file.lstat().st_size
    if plan and held > plan.get("most_disk_bytes", 0):
        write_plan(folder, {**plan, "most_disk_bytes": held})


def plan_and_outcome(
    folder: RunFolder, rows: Sequence[LeaderboardRow], detectable: float | None
) -> list[Compared] | None:
    """Every figure of the plan with what became of it; None where the run has no plan.

    One is {"contender": name or null, "what", "unit": "seconds"|"bytes"|"share", "low", "high", "actual": number or
    null}. detectable: the smallest difference that the finals would mostly show, as they came out.
    """
    plan = read_plan(folder)
    if "estimate" not in plan:
        return None
    return [*_of_the_run(folder, plan, detectable), *_of_contenders(folder, plan["estimate"], rows)]


def _of_the_run(folder: RunFolder, plan: Mapping[str, Any], detectable: float | None) -> Iterator[Compared]:
    estimate = plan["estimate"]
    known = [one for one in estimate["contenders"] if one["error"] is None]
    if known:
        yield _compared("time", "seconds", estimate["wall_seconds"], _wall_seconds(folder, plan))
        needed = max(one["peak_memory_bytes"] for one in known)
        peaks = [trial.cost.peak_memory_bytes for trial in folder.trials()]
        yield _compared("memory of one training", "bytes", (needed, needed), max(peaks, default=0) or None)
        disk = estimate["disk_bytes"]
        yield _compared("disk at most", "bytes", (disk, disk), plan.get("most_disk_bytes"))
    shown = estimate["detectable_test"]
    # finals that do not vary at all say nothing about what would have shown
    yield _compared("smallest difference that shows", "share", (shown, shown), detectable or None)


def _wall_seconds(folder: RunFolder, plan: Mapping[str, Any]) -> float | None:
    """What the run took from its baselines on; None where a driver that was killed took its time with it."""
    timings = folder.timings()
    taken = timings.get("search", 0.0) + timings.get("finals", 0.0) - plan.get("probing_seconds", 0.0)
    busy = sum(trial.cost.wall_seconds for trial in folder.trials()) / plan["estimate"]["slots"]
    return taken if taken > 0 and taken >= busy else None


def _of_contenders(
    folder: RunFolder, estimate: Mapping[str, Any], rows: Sequence[LeaderboardRow]
) -> Iterator[Compared]:
    spent = {row.contender: row.device_seconds for row in rows}
    trials = folder.trials()
    for one in estimate["contenders"]:
        name = one["contender"]
        if one["error"] is not None:
            continue
        whole = [_without_caches(t) for t in trials if _is_whole_trial(t) and t.contender == name]
        foretold = one["trial_seconds"]
        yield _compared("one whole trial", "seconds", (foretold, foretold), mean(whole) if whole else None, name)
        total = [one["search_seconds"][end] + one["finals_seconds"][end] for end in (0, 1)]
        yield _compared("device time", "seconds", total, spent.get(name), name)


def _compared(
    what: str, unit: str, ends: Sequence[float], actual: float | None, contender: str | None = None
) -> Compared:
    low, high = ends
    return {"contender": contender, "what": what, "unit": unit, "low": low, "high": high, "actual": actual}


def _is_whole_trial(trial: TrialResult) -> bool:
    return trial.kind == "trial" and trial.status == "completed"


def _without_caches(trial: TrialResult) -> float:
    """Device-seconds of the training itself: what it built for all, or lost in a crash, was not foretold of one."""
    return trial.cost.device_seconds - trial.spent.get("cache", 0.0) - trial.spent.get("retry", 0.0)


def in_words(plan: Sequence[Compared] | None) -> list[tuple[str, str, str]]:
    """(what, foretold, came) of each figure, for people."""
    told = []
    for one in plan or ():
        what = f"{one['contender']}: {one['what']}" if one["contender"] else one["what"]
        told.append((what, _range_told(one), "–" if one["actual"] is None else _told(one["actual"], one["unit"])))
    return told


def _range_told(one: Compared) -> str:
    low, high, unit = one["low"], one["high"], one["unit"]
    if unit == "seconds":
        return about(high) if low == high else about_range(low, high)
    return _told(high, unit)


def _told(value: float, unit: str) -> str:
    if unit == "seconds":
        return seconds(value)
    return data_size(value) if unit == "bytes" else f"{value * 100:.1f} points"
