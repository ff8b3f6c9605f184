"""A run folder that is watched: only read, with a terminal and without one."""

from __future__ import annotations

import fcntl
import io
import json
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from automl.cli import main
from automl.errors import RunFolderError
from automl.leaderboard.driver import LOCK, is_driven
from automl.leaderboard.listing import list_runs
from automl.leaderboard.store import RunFolder, now
from automl.leaderboard.whereabouts import WhereaboutsFile, read_whereabouts
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
    with folder.lock():
        row = next(line for line in shown(folder).splitlines() if line.startswith("minilm/full"))
    assert row.split()[-3:] == ["42", "s", "1"]


def test_rungs_tell_how_many_trials_came_were_stopped_and_are_to_come(folder: RunFolder) -> None:
    from tests.test_progress import contender, spec

    of_good = next(one for one in folder.trials() if one.contender == "good")
    for number, status in enumerate(("completed", "completed", "pruned", "pruned"), 4):
        curve = [{"samples_seen": rung, "rung": rung, "accuracy": 0.5} for rung in (300, 900)]
        curve = curve if status == "completed" else curve[:1]
        folder.append_trial(replace(of_good, id=f"good-{number}", status=status, curve=tuple(curve), number=number))
    running = replace(spec(9), contender=contender("good"), rungs=(300, 900))
    folder.append_started(running)
    driver = WhereaboutsFile(folder)
    driver.phase("search")
    driver.trial_reported(running, {"samples_seen": 300, "rung": 300})
    driver.trial_reported(running, {"samples_seen": 400})
    with folder.lock():
        text = shown(folder)
    head = next(line for line in text.splitlines() if line.startswith("trials at the rungs"))
    assert head.rstrip().endswith("900 samples")
    good = [line for line in text.splitlines() if line.startswith("good")][1]
    assert good.split(maxsplit=1)[1].split("  ")[0] == "5, 2 stopped"
    assert good.rstrip().endswith("  2, 1 to come")


def test_a_baseline_is_a_record_like_another(folder: RunFolder) -> None:
    with folder.lock():
        assert "year" in last_record(folder) or "h" in last_record(folder), "the records of this folder are old"
        folder.append_trial(replace(folder.baselines()[0], id="baseline-new", ended_at=now()))
        assert last_record(folder).split()[3] == "s"


def last_record(folder: RunFolder) -> str:
    return next(line for line in shown(folder).splitlines() if line.startswith("last record"))


def test_a_resumed_driver_still_knows_what_running_trials_had_reached(folder: RunFolder) -> None:
    from tests.test_progress import contender, info, spec

    running = replace(spec(9), contender=contender("good"), rungs=(300, 900))
    WhereaboutsFile(folder).trial_reported(running, {"samples_seen": 300, "rung": 300})
    again = WhereaboutsFile(folder)
    again.start(info(folder.path))
    again.phase("search")
    assert read_whereabouts(folder).reached == {running.id: (300,)}
    again.trial_ended(running, replace(folder.trials()[0], id=running.id))
    assert read_whereabouts(folder).reached == {}


def test_the_phase_is_the_drivers_word_and_that_of_the_records_where_there_is_none(folder: RunFolder) -> None:
    with folder.lock():
        assert shown(folder).splitlines()[1].startswith("finals")
        driver = WhereaboutsFile(folder)
        for name, told in (
            ("probes", "probes  "),
            ("baselines", "baselines (2 of 2 done)  "),
            ("report", "report  "),
        ):
            driver.phase(name)
            assert shown(folder).splitlines()[1].startswith(told)
        folder.whereabouts_file.write_text("{")
        assert shown(folder).splitlines()[1].startswith("finals")
    assert shown(folder).splitlines()[1].startswith("interrupted")


def test_a_play_off_that_runs_is_the_phase_and_is_counted_apart(folder: RunFolder) -> None:
    from tests.test_progress import contender, spec

    folder.write_contest(folder.read_contest() | {"folds": {"count": 3}})
    folder.append_started(
        replace(spec(0), id="good-playoff-000-2", contender=contender("good"), kind="playoff", fold=2)
    )
    WhereaboutsFile(folder).phase("search")
    with folder.lock():
        lines = shown(folder).splitlines()
    assert lines[1].startswith("play-off")
    good = next(line for line in lines if line.startswith("good"))
    assert "0/4" in good.split(), "two of its trials were whole, and there are two further folds"


def test_a_run_whose_process_was_killed_is_told_to_be_interrupted(folder: RunFolder) -> None:
    from tests.test_progress import contender, spec

    contest = folder.read_contest()
    contest["contenders"] = [contender().to_json()]
    folder.write_contest(contest)
    folder.append_started(spec(7))
    code = f"from automl.leaderboard.store import RunFolder\nwith RunFolder({str(folder.path)!r}).lock():\n"
    code += "    print('driving', flush=True)\n    import time; time.sleep(60)"
    driver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert driver.stdout is not None
        driver.stdout.readline()
        text = shown(folder)
        assert "interrupted" not in text
        assert "nothing drives it" not in text
        assert list_runs(folder.path.parent)[0]["state"] == "running"
        with pytest.raises(RunFolderError, match=f"in use by another automl process .process {driver.pid} on "):
            with folder.lock():
                pass
    finally:
        driver.kill()
        driver.wait()
    text = " ".join(shown(folder).split())
    assert "interrupted" in text
    assert f"nothing drives it any more: process {driver.pid} on {socket.gethostname()} has ended" in text
    assert f"1 training was cut off; go on with: automl resume {folder.path}" in text
    assert list_runs(folder.path.parent)[0]["state"] == "interrupted"


def test_looking_at_a_run_never_keeps_a_driver_from_it(folder: RunFolder) -> None:
    with open(folder.path / LOCK, "wb") as look:
        fcntl.flock(look, fcntl.LOCK_SH)  # as is_driven does for a moment
        threading.Timer(0.1, lambda: fcntl.flock(look, fcntl.LOCK_UN)).start()
        with folder.lock():
            assert is_driven(folder.path)
    assert is_driven(folder.path) is False


def test_runs_lists_state_score_and_cost_as_json_too(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"contender": "good", "test_mean": 0.9}]
    folder.leaderboard_json.write_text(json.dumps({"verdict": "good wins", "metric": "accuracy", "rows": rows}))
    assert main(["runs", str(folder.path.parent), "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert (told["state"], told["best"], told["contender"]) == ("done", 0.9, "good")
    assert told["device_seconds"] == sum(one.device_seconds for one in folder.ledger())
    assert main(["watch", str(folder.path), "--once"]) == 0
    assert "done" in capsys.readouterr().out
