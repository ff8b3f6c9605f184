"""A latency that was measured on a busy machine says so wherever it stands."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from automl.leaderboard.board import Leaderboard, make_board
from automl.leaderboard.report import write_report
from automl.leaderboard.store import RunFolder
from automl.terminal import print_board
from tests.leaderboard.run_folder import Contest, Plan

BUSY = {"busy": True, "cores": 2, "others_cores": 1.4, "load_average": 6.2}
QUIET = BUSY | {"busy": False, "others_cores": 0.1}
SAID = "was measured while the machine was busy (load 6.2 on 2 cores, others held 1.4 of 2): not comparable"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    plans = [Plan(name="a", accuracy=0.95), Plan(name="b", accuracy=0.75)]
    return Contest(path=tmp_path / "run", plans=plans, baselines=()).build()


def board(folder: RunFolder, **loads: dict[str, Any]) -> Leaderboard:
    measured = {name: {"latency_ms_p50": 12.3, "latency_ms_p95": 15.0, "load": load} for name, load in loads.items()}
    folder.measurements_file.write_text(json.dumps(measured))
    return make_board(folder, "test")


def test_every_output_tells_it_at_the_figure_and_once_in_words(folder: RunFolder) -> None:
    found = board(folder, a=BUSY, b=QUIET)
    names = [row.contender for row in found.rows if row.latency_busy]
    assert len(names) == 1
    (note,) = [one for one in found.protocol["notes"] if "busy" in one]
    assert note == f"the latency of {names[0]} {SAID}"
    markdown, terminal = found.to_markdown(), io.StringIO()
    print_board(found.to_json(), terminal)
    for told in (markdown, terminal.getvalue()):
        assert told.count("12.3 ms (busy)") == 1
        assert told.count("12.3 ms") == 2
    page = write_report(folder, found).read_text(encoding="utf-8")
    assert "12.3 ms (busy)" in page
    assert "12.3 / 15.0 *" in page
    assert "(*)" in page
    assert page.count(SAID) >= 3  # among the notes, at the table of costs, under the picture of the front


def test_where_all_were_disturbed_the_worst_load_stands_for_all(folder: RunFolder) -> None:
    (note,) = [
        one for one in board(folder, a=BUSY | {"others_cores": 0.4}, b=BUSY).protocol["notes"] if "busy" in one
    ]
    assert note == f"the latency of every row {SAID}"


@pytest.mark.parametrize("load", [QUIET, {}])
def test_a_quiet_machine_and_an_older_record_say_nothing(folder: RunFolder, load: dict[str, Any]) -> None:
    found = board(folder, a=load, b=load)
    assert all(row.latency_busy is None for row in found.rows)
    assert "busy" not in found.to_markdown()


def test_a_board_keeps_it_when_it_is_read_back(folder: RunFolder) -> None:
    found = board(folder, a=BUSY, b=QUIET)
    assert Leaderboard.from_json(found.to_json()).to_json() == found.to_json()
