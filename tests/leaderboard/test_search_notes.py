from __future__ import annotations

import json
from pathlib import Path

from automl.leaderboard.board import make_board
from automl.leaderboard.report import write_report
from automl.leaderboard.search_notes import foresight_table, search_notes
from automl.terminal import print_board
from tests.leaderboard.run_folder import Contest, Plan

EDGE = {"parameter": "learning_rate", "side": "high", "value": 5.9e-4, "low": 2e-5, "high": 6e-4, "can_widen": True}
LEAST = {"parameter": "dropout", "side": "low", "value": 0.001, "low": 0.0, "high": 0.2, "can_widen": False}
BLIND = {"rung": 1200, "trials": 7, "kendall_tau": 0.142, "stops": False}
SIGHTED = {"rung": 1200, "trials": 9, "kendall_tau": 0.81, "stops": True}


def test_an_edge_is_told_with_parameter_side_and_what_to_do() -> None:
    (told,) = search_notes({"a/full": {"edges": [EDGE]}})
    assert told.startswith(
        "a/full: the winning learning_rate 0.00059 lies at the high edge of the range 2e-05 to 0.0006"
    )
    assert "--search-spaces" in told


def test_an_edge_that_cannot_be_widened_asks_for_nothing() -> None:
    (told,) = search_notes({"a/full": {"edges": [LEAST]}})
    assert "dropout" in told
    assert "--search-spaces" not in told


def test_early_stopping_is_told_only_where_it_switched_itself_off() -> None:
    assert search_notes({"a/full": {"foresight": [SIGHTED]}, "b/full": None}) == []
    (told,) = search_notes({"a/full": {"foresight": [BLIND]}})
    assert "Kendall tau 0.14 over 7 trials" in told


def test_every_contenders_foresight_stands_in_the_table() -> None:
    unknown = {"rung": 300, "trials": 1, "kendall_tau": None, "stops": True}
    table = foresight_table({"a": {"foresight": [BLIND]}, "b": {"foresight": [unknown]}, "c": {}})
    assert table == [("a", "1,200", "7", "0.14", "switched off"), ("b", "300", "1", "\u2013", "on")]


def test_board_report_and_terminal_tell_of_the_edge_and_of_early_stopping(tmp_path: Path, capsys: object) -> None:
    folder = Contest(path=tmp_path, plans=[Plan(name="a/full", accuracy=0.9)]).build()
    winners = folder.read_winners()
    winners["a/full"] |= {"edges": [EDGE], "foresight": [BLIND]}
    folder.write_winners(winners)
    board = make_board(folder, why="test")
    assert len(board.protocol["notes"]) == 2
    assert "learning\\_rate" in folder.leaderboard_md.read_text()
    page = write_report(folder, board).read_text()
    assert "lies at the high edge" in page
    assert "switched off" in page
    print_board(json.loads(folder.leaderboard_json.read_text()))
    printed = capsys.readouterr().out  # type: ignore[attr-defined]
    assert printed.count("note: a/full") == 2
