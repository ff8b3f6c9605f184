import io
import json
import re
from pathlib import Path

import pytest

from automl.terminal import Steps, board_cells, plain_table, print_board, publish, safe, seconds_text


def row(**changes: object) -> dict[str, object]:
    """A row of leaderboard.json as records.md defines it."""
    return {
        "rank": 1, "tie_group": 1, "contender": "minilm/full", "kind": "contender", "status": "ok",
        "error": None,
        "test_mean": 0.9123, "test_low": 0.9, "test_high": 0.925,
        "test_per_seed": [0.91, 0.9146], "seeds": [1, 2],
        "validation_mean": 0.92, "search_validation": 0.93, "default_test_mean": 0.9, "device_seconds": 75.0,
        "device_seconds_allowed": None,
        "trials": {"completed": 3, "pruned": 1, "failed": 0, "out_of_memory": 1},
        "latency_ms_p50": 4.25, "parameters": 22_700_000, "recipe": {}, "model_dir": "models/minilm-full",
        **changes,
    }  # fmt: skip


def board(*rows: dict[str, object], **changes: object) -> dict[str, object]:
    verdict = {
        "verdict": "minilm/full wins.",
        "winner": "minilm/full",
        "metric": "accuracy",
        "comparable": True,
    }
    return {**verdict, "not_comparable_because": [], "rows": list(rows), **changes}


def test_control_characters_from_data_never_reach_the_terminal() -> None:
    assert safe("red \x1b[31mtext\x07\r\nnext\tcell\x9b2J") == "red [31mtext next cell2J"
    assert safe("left\u202eright") == "leftright"


def test_durations_read_as_people_say_them() -> None:
    shown = [seconds_text(seconds) for seconds in (0.04, 9.96, 59.4, 61, 3725)]
    assert shown == ["0.0 s", "10.0 s", "59 s", "1 min 01 s", "1 h 02 min"]
    assert seconds_text(None) == ""


def test_a_row_tells_what_did_not_complete() -> None:
    cells = board_cells(row())
    assert "3 + 1 pruned + 1 out of memory" in cells
    assert "0.9000 to 0.9250" in cells
    assert "22.7 M" in cells


def test_a_failed_row_shows_its_reason_and_no_invented_number() -> None:
    nothing = dict.fromkeys(("test_mean", "test_low", "test_high", "latency_ms_p50", "parameters"))
    failed = row(status="failed", error="out of memory in every trial", contender="big/full", rank=2, **nothing)
    text = io.StringIO()
    print_board(board(row(), failed), text)
    assert "big/full failed: out of memory in every trial" in text.getvalue()
    assert "None" not in text.getvalue()


def test_a_board_that_is_not_comparable_says_so_last() -> None:
    text = io.StringIO()
    print_board(board(row(), not_comparable_because=["splits differ"]), text)
    assert text.getvalue().splitlines()[-1] == "NOT COMPARABLE: splits differ"


def test_a_plain_board_is_aligned_and_has_no_frames() -> None:
    text = io.StringIO()
    print_board(board(row(), row(rank=2, contender="a-much-longer-name/frozen")), text)
    lines = text.getvalue().splitlines()
    assert lines[2].index("0.9123") == lines[3].index("0.9123")
    assert not set("│┃─━") & set(text.getvalue())


def test_empty_columns_are_left_out() -> None:
    table = plain_table(("a", "b", "c"), [("1", "", "x"), ("2", "", "y")])
    assert table.splitlines()[0].split() == ["a", "c"]


def test_brackets_in_a_name_are_shown_in_a_terminal_and_not_read_as_markup() -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    print_board(board(row(contender="[bold]x[/bold]/full")), screen)
    assert "[bold]x[/bold]/full" in screen.getvalue().replace("\n", "")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def working(file: io.StringIO, rows: int = 40) -> str:
    """What is shown of work that takes a second for each of its rows."""
    now = [0.0]
    with Steps(file, lambda: now[0]) as steps:
        for done in range(rows + 1):
            steps("comparing [red] rows", done, rows)
            now[0] += 1
    return file.getvalue()


def test_work_on_rows_is_told_of_in_lines_seconds_apart_where_there_is_no_terminal() -> None:
    lines = working(io.StringIO()).splitlines()
    assert lines[0] == "comparing [red] rows: 5 of 40 rows"
    assert len(lines) == 7
    assert working(io.StringIO(), rows=4) == "", "short work shows nothing"


def test_work_on_rows_has_a_bar_in_a_terminal_which_goes_when_the_work_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    shown = working(Screen())
    assert "comparing [red] rows" in shown
    assert "/40" in shown
    assert shown.endswith("\x1b[1A\x1b[2K") or "\x1b[2K" in shown[-20:]
    assert working(Screen(), rows=1) == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_a_board_without_a_model_is_no_success(
    as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = row(status="failed", error="no memory", model_dir=None)
    floor = row(kind="baseline", contender="constant")
    for rows, code in (([lost, floor], 1), ([lost, row(contender="other/full"), floor], 0), ([floor], 0)):
        (tmp_path / "leaderboard.json").write_text(json.dumps(board(*rows)), encoding="utf-8")
        assert publish(tmp_path, as_json) == code
        shown = capsys.readouterr()
        assert (shown.err == "automl: the contender failed: there is no model; the board says why\n") == bool(code)
        assert as_json == shown.out.startswith("{")
        assert ("use it" in shown.out) == (not as_json and not code)


def test_a_terminal_of_twenty_columns_shows_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("TERM", "xterm")
    text = io.StringIO()
    monkeypatch.setattr(text, "isatty", lambda: True, raising=False)
    print_board(board(row(contender="a-model-of-a-long-name/full")), text)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", text.getvalue())
    assert " 0.9123 " in shown
    assert all(len(line) <= 20 for line in shown.splitlines())
