"""Records chained by hash: what was changed, and what only a crash left, is told apart, line by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from automl.leaderboard import chain
from automl.leaderboard.chain import read_chain
from automl.leaderboard.store import append_line, read_lines


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Five chained lines."""
    path = tmp_path / "ledger.jsonl"
    for number in range(5):
        append_line(path, {"number": number, "score": 0.5 + number / 100, "word": "größer", "pair": (1, 2)})
    return path


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


def edits(path: Path) -> list[int]:
    return [flaw.line for flaw in read_chain(path).edits]


def test_a_file_that_only_grew_is_sound(records: Path) -> None:
    found = read_chain(records)
    assert found.flaws == ()
    assert [number for number, _ in found.lines] == [1, 2, 3, 4, 5]
    assert found.is_chained


@pytest.mark.parametrize("line", [1, 3, 5])
def test_a_changed_digit_is_named_with_its_line(records: Path, line: int) -> None:
    lines = lines_of(records)
    lines[line - 1] = lines[line - 1].replace('"score": 0.5', '"score": 0.6')
    records.write_text("".join(lines), encoding="utf-8")
    assert edits(records) == [line]


def test_a_removed_line_breaks_the_chain_where_it_stood(records: Path) -> None:
    lines = lines_of(records)
    records.write_text("".join(lines[:2] + lines[3:]), encoding="utf-8")
    assert edits(records) == [3]


def test_swapped_lines_break_the_chain(records: Path) -> None:
    lines = lines_of(records)
    lines[1], lines[2] = lines[2], lines[1]
    records.write_text("".join(lines), encoding="utf-8")
    assert edits(records) == [2, 3, 4]


def test_an_added_line_without_a_chain_is_an_edit(records: Path) -> None:
    with open(records, "a", encoding="utf-8") as file:
        file.write('{"number": 9}\n')
    assert edits(records) == [6]


def test_a_field_that_is_said_twice_is_an_edit(records: Path) -> None:
    lines = lines_of(records)
    lines[1] = lines[1].replace('{"number": 1', '{"number": 7, "number": 1')
    records.write_text("".join(lines), encoding="utf-8")
    assert edits(records) == [2]


def test_a_line_that_was_made_unreadable_is_an_edit_and_not_a_crash(records: Path) -> None:
    lines = lines_of(records)
    lines[1] = lines[1].replace('"score": 0', '"score": ')
    records.write_text("".join(lines), encoding="utf-8")
    assert edits(records) == [2]


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_cut_off_by_a_crash_breaks_no_chain(records: Path, cut: int) -> None:
    whole = records.read_bytes()
    records.write_bytes(whole[:-cut])
    append_line(records, {"number": 5})
    append_line(records, {"number": 6})
    found = read_chain(records)
    assert found.edits == ()
    # of a line that lacks its end of line only, nothing is lost
    assert [flaw.what for flaw in found.flaws] == ([] if cut == 1 else ["a line cut off by a crash"])
    assert [line["number"] for line in read_lines(records)] == [0, 1, 2, 3] + ([4] if cut == 1 else []) + [5, 6]


def test_a_crash_in_the_middle_of_a_letter_is_survived(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    append_line(path, {"error": "fine"})
    append_line(path, {"error": "größer"})
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index("ö".encode()) + 1])
    assert [line["error"] for line in read_lines(path)] == ["fine"]
    append_line(path, {"error": "again"})
    assert read_chain(path).edits == ()


def test_the_last_whole_line_is_found_however_long_it_is(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    append_line(path, {"curve": ["x" * 1_000] * 500})
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"curve": "' + "y" * 300_000)
    append_line(path, {"number": 1})
    assert read_chain(path).edits == ()


def test_a_file_of_an_older_version_goes_on_with_a_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"number": 0}\n{"number": 1}\n', encoding="utf-8")
    assert not read_chain(path).is_chained
    append_line(path, {"number": 2})
    assert read_chain(path).flaws == ()
    path.write_text(path.read_text().replace('"number": 1', '"number": 8'), encoding="utf-8")
    assert edits(path) == [3]  # the first chained line holds the last unchained one


def test_lines_of_another_file_do_not_fit(records: Path, tmp_path: Path) -> None:
    other = tmp_path / "trials.jsonl"
    other.write_bytes(records.read_bytes())
    assert edits(other) == [1]


def test_seals_tell_where_every_file_stood(records: Path, tmp_path: Path) -> None:
    last = json.loads(lines_of(records)[-1])
    assert chain.seals(records, tmp_path / "none.jsonl") == {"ledger.jsonl": {"lines": 5, "chain": last["chain"]}}
