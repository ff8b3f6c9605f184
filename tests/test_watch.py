"""A run folder that is watched: only read, with a terminal and without one."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from automl.cli import main
from automl.leaderboard.store import RunFolder
from automl.watch import watch
from tests.leaderboard.run_folder import Contest, Plan


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return Contest(
        path=tmp_path / "run", plans=[Plan(name="good", accuracy=0.9), Plan(name="bad", accuracy=0.5, failed=True)]
    ).build()


def shown(folder: RunFolder) -> str:
    screen = io.StringIO()
    watch(folder, Console(file=screen, width=120, color_system=None))
    return screen.getvalue()


def test_a_run_is_shown_from_its_folder_alone_and_nothing_in_there_changes(folder: RunFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    text = shown(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before
    good = next(line for line in text.splitlines() if line.startswith("good"))
    assert good.split()[1:3] == ["4/4", "2"], "trials, and pruned ones"
    assert "bad trial 3 failed" in text
    assert "the loss is not a number" in text


def test_what_runs_is_counted_with_what_it_has_spent(folder: RunFolder) -> None:
    from tests.test_progress import contender, spec

    contest = folder.read_contest()
    contest["contenders"] = [contender().to_json()]
    folder.write_contest(contest)
    running = spec(7)
    folder.append_started(running)
    beat = folder.heartbeats / f"{running.id}.json"
    beat.parent.mkdir(parents=True, exist_ok=True)
    beat.write_text('{"train": 42.0}')
    row = next(line for line in shown(folder).splitlines() if line.startswith("minilm/full"))
    assert row.split()[-3:] == ["42", "s", "1"]


def test_runs_lists_state_score_and_cost_as_json_too(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"contender": "good", "test_mean": 0.9}]
    folder.leaderboard_json.write_text(json.dumps({"verdict": "good wins", "metric": "accuracy", "rows": rows}))
    assert main(["runs", str(folder.path.parent), "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert (told["state"], told["best"], told["contender"]) == ("done", 0.9, "good")
    assert told["device_seconds"] == sum(one.device_seconds for one in folder.ledger())
    assert main(["watch", str(folder.path), "--once"]) == 0
    assert "done" in capsys.readouterr().out
