"""Records only ever grow, survive a crash, and belong to one driver at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from automl.config import RunRequest
from automl.errors import RunFolderError
from automl.leaderboard.store import RunFolder, append_line, read_lines, write_atomically
from automl.types import Spend
from tests.leaderboard.run_folder import EARLY, Contest, Plan

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.create(RunRequest(source="reviews.csv", trials=3))
    return made


def spend(seconds: float) -> Spend:
    return Spend(contender="a", trial="a-000", kind="train", device_seconds=seconds, at=EARLY)


def test_a_line_that_a_crash_cut_off_is_passed_over_and_the_next_stands_alone(folder: RunFolder) -> None:
    folder.append_spend(spend(1.0))
    with open(folder.ledger_file, "a", encoding="utf-8") as file:
        file.write('{"contender": "a", "device_sec')
    assert [one.device_seconds for one in folder.ledger()] == [1.0]
    folder.append_spend(spend(2.0))
    assert [one.device_seconds for one in folder.ledger()] == [1.0, 2.0]


def test_appending_never_touches_what_is_there(folder: RunFolder) -> None:
    folder.append_spend(spend(1.0))
    before = folder.ledger_file.read_bytes()
    folder.append_spend(spend(2.0))
    assert folder.ledger_file.read_bytes().startswith(before)


def test_a_number_that_json_has_no_word_for_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    with pytest.raises(ValueError, match="JSON"):
        append_line(path, {"value": float("nan")})
    assert list(read_lines(path)) == []


def test_of_a_result_that_was_written_twice_the_first_counts(tmp_path: Path) -> None:
    contest = Contest(path=tmp_path / "run", plans=[Plan(name="a", accuracy=0.9)])
    made = contest.build()
    first = made.trials()[0]
    made.append_trial(replace(first, validation=0.123))
    assert made.trials()[0] == first
    assert len(made.trials()) == len({one.id for one in made.trials()})


def test_baselines_are_kept_apart_from_trials(tmp_path: Path) -> None:
    made = Contest(path=tmp_path / "run", plans=[Plan(name="a", accuracy=0.9)]).build()
    assert {one.kind for one in made.baselines()} == {"baseline"}
    assert "baseline" not in {one.kind for one in made.trials()}


def test_a_second_process_is_refused_while_the_first_holds_the_lock(folder: RunFolder) -> None:
    code = (
        "import sys\n"
        "from automl.errors import RunFolderError\n"
        "from automl.leaderboard.store import RunFolder\n"
        "try:\n"
        "    with RunFolder(sys.argv[1]).lock(): print('taken')\n"
        "except RunFolderError as error: print('refused:', error)\n"
    )

    def other() -> str:
        command = [sys.executable, "-c", code, str(folder.path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=REPOSITORY).stdout

    with folder.lock():
        assert other().startswith("refused:")
    assert other() == "taken\n"


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \udc80")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_is_not_put_on_top_of_another(folder: RunFolder) -> None:
    with pytest.raises(RunFolderError, match="automl resume"):
        folder.create(RunRequest(source="other.csv"))


def test_a_folder_with_other_files_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear all")
    with pytest.raises(RunFolderError, match="--out"):
        RunFolder(tmp_path).create(RunRequest(source="reviews.csv"))


def test_a_folder_without_a_run_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="automl run"):
        RunFolder.existing(tmp_path / "nothing")


def test_a_request_comes_back_as_it_was_written(folder: RunFolder) -> None:
    assert folder.read_request() == RunRequest(source="reviews.csv", trials=3)


def test_seconds_of_a_phase_add_up_over_resumes(folder: RunFolder) -> None:
    folder.append_timing("search", 2.0)
    folder.append_timing("search", 3.5)
    assert folder.timings() == {"search": 5.5}


def test_every_line_is_json_of_its_own(folder: RunFolder) -> None:
    append_line(folder.access_file, {"why": "two\nlines"})
    append_line(folder.access_file, {"why": "ünïcode"})
    lines = folder.access_file.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["why"] for line in lines] == ["two\nlines", "ünïcode"]
