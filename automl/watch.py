"""A run as its folder tells it, while it goes on or afterwards, from any machine that sees the folder; only read."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from automl.leaderboard.driver import is_driven, last_driver
from automl.leaderboard.folds import folds_of
from automl.leaderboard.store import RunFolder, read_lines
from automl.leaderboard.whereabouts import read_whereabouts
from automl.progress import LiveView
from automl.terminal import safe, seconds_text
from automl.tracking.base import RunInfo
from automl.training.clock import read_heartbeat
from automl.types import Budget

SECONDS_BETWEEN_FRAMES = 2.0
_WARNINGS = 3


def watch(folder: RunFolder, console: Console, once: bool = False) -> None:
    """Show frame after frame until the board is out; one alone with `once`, or where no terminal is."""
    if once or not console.is_terminal:
        console.print(frame(folder, console))
        return
    with Live(frame(folder, console), console=console, auto_refresh=False) as live:
        while not folder.leaderboard_json.exists():
            time.sleep(SECONDS_BETWEEN_FRAMES)
            live.update(frame(folder, console), refresh=True)


def frame(folder: RunFolder, console: Console) -> RenderableType:
    """Contenders, trials, spend and time left, and the last trainings that failed."""
    head = Text(safe(folder.path), style="bold")
    if not folder.contest_file.exists():
        told = Text("the data is being prepared")
        return Group(head, told if is_driven(folder.path) is not False else _nobody_drives(folder, 0))
    contest = folder.read_contest()
    starts = list(read_lines(folder.started_file))
    whereabouts = read_whereabouts(folder)
    begins = [starts[0]["at"]] if starts else [whereabouts.since] if whereabouts.since else []
    began = _when(begins[0]) if begins else None
    results = folder.trials()
    ended = {result.id for result in results}
    done = folder.leaderboard_json.exists()
    last = max((_when(result.ended_at) for result in (*results, *folder.baselines())), default=began)
    deserted = not done and is_driven(folder.path) is False
    until = last if done or deserted else datetime.now(UTC)
    elapsed = max(0.0, (until - began).total_seconds()) if began and until else 0.0
    unfinished = [spec for spec in folder.started() if spec.id not in ended] if not done else []
    phase = "interrupted" if deserted else _phase(folder, contest, whereabouts.phase)
    view = LiveView.of_records(_info(folder, contest), console, elapsed, phase)
    for spec in [] if deserted else unfinished:
        beat = read_heartbeat(folder.heartbeats / f"{spec.id}.json")
        view.trial_started(spec)
        view.trial_reported(spec, {"device_seconds": sum(beat.values())})
    failed = [result for result in results if result.status in ("failed", "out_of_memory")][-_WARNINGS:]
    lines = [Text(view.sentence(result), style="red") for result in failed]
    if not done and last is not None:
        quiet = (datetime.now(UTC) - last).total_seconds()
        lines.append(Text(f"last record {seconds_text(max(0.0, quiet))} ago", style="dim"))
    if deserted:
        lines.append(_nobody_drives(folder, len(unfinished)))
    return Group(head, view.table(), *lines)


def _nobody_drives(folder: RunFolder, cut_off: int) -> Text:
    """That the run's process is gone, however it ended, and with it the trainings that ran."""
    told = f"nothing drives it any more: {last_driver(folder.path) or 'its process'} has ended"
    if cut_off:
        told += f", {cut_off} {'training was' if cut_off == 1 else 'trainings were'} cut off"
    return Text(safe(f"{told}; go on with: automl resume {folder.path}"), style="red")


def _phase(folder: RunFolder, contest: dict[str, Any], told: str) -> str:
    """Where the run is. told: by its driver; '' where it told nothing, then as far as the records say it."""
    if folder.leaderboard_json.exists():
        return "done"
    if told == "baselines":
        return f"{told} ({len(folder.baselines())} of {len(contest['baselines'])} done)"
    if told:
        return told
    return "finals" if len(folder.read_winners()) >= len(contest["contenders"]) else "search"


def _info(folder: RunFolder, contest: dict[str, Any]) -> RunInfo:
    return RunInfo(
        name=contest["name"],
        run_directory=folder.path,
        request={},
        task=contest["task"],
        metric=contest["metric"],
        higher_is_better=contest["higher_is_better"],
        contenders=tuple(folder.contenders()),
        budget=Budget.from_json(contest["budget"]),
        seeds=tuple(contest["seeds"]),
        counts=contest["counts"],
        split_fingerprint=contest["split_fingerprint"],
        time_limit_seconds=contest.get("time_limit_seconds"),
        folds=folds_of(contest),
    )


def _when(text: str) -> datetime:
    return datetime.fromisoformat(text)
