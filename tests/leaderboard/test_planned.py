"""The plan beside what came of it, from a run folder with known figures."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from automl.leaderboard.board import make_board
from automl.leaderboard.planned import in_words, note_disk, read_plan, write_plan
from automl.leaderboard.quantities import about, about_range, data_size
from automl.leaderboard.store import RunFolder
from automl.leaderboard.verify import verify_run
from automl.terminal import print_board
from tests.leaderboard.run_folder import Contest, Plan

FORETOLD = {"trials": [4, 4], "finals": [3, 6], "peak_memory_bytes": 2**30, "machine_bytes": 2**33, "error": None}
ESTIMATE = {
    "contenders": [
        {"contender": "one", "trial_seconds": 8.0, "search_seconds": [20.0, 32.0], "finals_seconds": [24.0, 48.0],
         **FORETOLD},
        {"contender": "two", "error": "cannot be loaded"},
    ],
    "slots": 1, "wall_seconds": [90.0, 150.0], "disk_bytes": 3 * 2**30, "kept_bytes": 2**30,
    "detectable_validation": 0.05, "detectable_test": 0.04, "disagreement": 0.1,
}  # fmt: skip


def planned_run(path: Path, **plan: Any) -> RunFolder:
    folder = Contest(
        path=path / "run", plans=[Plan(name="one", accuracy=0.9), Plan(name="two", accuracy=0.8)]
    ).build()
    write_plan(folder, {"estimate": ESTIMATE, "probing_seconds": 15.0, "most_disk_bytes": 2**31, **plan})
    return folder


def figures(folder: RunFolder) -> dict[tuple[str | None, str], dict[str, Any]]:
    found = make_board(folder, why="a test").to_json()["plan"]
    return {(one["contender"], one["what"]): one for one in found}


def test_every_figure_of_the_plan_has_what_came_of_it(tmp_path: Path) -> None:
    found = figures(planned_run(tmp_path))
    time = found[None, "time"]
    assert (time["low"], time["high"]) == (90.0, 150.0)
    # 80 s of search and 40 s of finals, without the probe; 14 trainings of 11 s each cannot have fitted into them
    assert time["actual"] is None
    assert found[None, "disk at most"]["actual"] == 2**31
    assert 0 < found[None, "smallest difference that shows"]["actual"] < 0.2
    assert found["one", "one whole trial"]["actual"] == 10.0
    assert found["one", "device time"]["actual"] == 70.0  # four trials and three finals of 10 s
    assert found["one", "device time"]["high"] == 80.0
    assert not any(contender == "two" for contender, _ in found)  # nothing was foretold of it


def test_the_time_that_came_is_that_of_search_and_finals_without_the_probe(tmp_path: Path) -> None:
    folder = planned_run(tmp_path)
    folder.append_timing("search", 100.0)  # a second driver
    assert figures(folder)[None, "time"]["actual"] == 80.0 + 100.0 + 40.0 - 15.0


def test_a_run_without_a_plan_has_none_on_its_board(tmp_path: Path) -> None:
    folder = Contest(path=tmp_path / "run", plans=[Plan(name="one", accuracy=0.9)]).build()
    board = make_board(folder, why="a test")
    assert board.plan is None
    assert "foretold" not in board.to_markdown()
    old = json.loads(folder.leaderboard_json.read_text(encoding="utf-8"))
    del old["plan"]  # as a board from before there were plans
    assert type(board).from_json(old).plan is None


def test_table_and_terminal_show_the_plan_and_verify_finds_a_changed_one(tmp_path: Path) -> None:
    folder = planned_run(tmp_path)
    board = make_board(folder, why="a test")
    assert "| one: one whole trial | 8.0 s | 10 s |" in board.to_markdown()
    shown = io.StringIO()
    print_board(board.to_json(), shown)
    assert "disk at most 3.0 GiB foretold, 2.0 GiB came" in shown.getvalue()
    checks = {one.check: one for one in verify_run(folder).checks}
    assert not [finding for finding in checks["board"].findings if "plan" in finding.what]
    write_plan(folder, {**read_plan(folder), "estimate": {**ESTIMATE, "wall_seconds": [1.0, 2.0]}})
    checks = {one.check: one for one in verify_run(folder).checks}
    assert any("plan[0]" in finding.what for finding in checks["board"].findings)


def test_the_most_that_the_disk_held_is_noted_once_it_is_more(tmp_path: Path) -> None:
    folder = planned_run(tmp_path, most_disk_bytes=0)
    note_disk(folder)
    held = read_plan(folder)["most_disk_bytes"]
    (folder.predictions / "more").write_bytes(bytes(10_000))
    note_disk(folder)
    more = read_plan(folder)["most_disk_bytes"]
    (folder.predictions / "more").unlink()
    note_disk(folder)
    assert 0 < held + 9_000 < more == read_plan(folder)["most_disk_bytes"]


def test_amounts_are_told_with_the_digits_that_one_can_know() -> None:
    assert [about(seconds) for seconds in (0.4, 9.96, 38.2, 130, 5_000, 9_000, 400_000)] == [
        "0.40 s", "10.0 s", "38 s", "2.2 min", "83 min", "2.5 h", "4.6 days",
    ]  # fmt: skip
    assert about_range(60 * 12, 60 * 20) == "12 to 20 min"
    assert about_range(50, 200) == "50 s to 3.3 min"
    assert about_range(601, 603) == "about 10 min"
    assert [data_size(value) for value in (900, 10**6, 123 * 2**20, 2**30, 200 * 2**30)] == [
        "0.88 KiB", "980 KiB", "120 MiB", "1.0 GiB", "200 GiB",
    ]  # fmt: skip
    assert in_words(None) == []
