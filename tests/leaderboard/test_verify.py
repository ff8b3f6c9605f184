"""Whatever is edited in a run folder is named, with file and line; what a crash left is not called an edit."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from automl.leaderboard.board import make_board
from automl.leaderboard.chain import CHAIN, ENDS
from automl.leaderboard.content_checks import check_split
from automl.leaderboard.evidence import Evidence
from automl.leaderboard.report import write_report
from automl.leaderboard.store import RunFolder
from automl.leaderboard.verify import Verification, verify_run
from tests.leaderboard.run_folder import Contest, Plan
from tests.toys import prepared_messages


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two contenders, with its board."""
    path = tmp_path_factory.mktemp("honest") / "run"
    folder = Contest(path=path, plans=[Plan(name="a", accuracy=0.9), Plan(name="b", accuracy=0.8)], rows=200).build()
    best = {trial.contender: trial.validation for trial in reversed(folder.trials()) if trial.kind == "trial"}
    winners = {n: {**winner, "search_validation": best[n]} for n, winner in folder.read_winners().items()}
    folder.write_winners(winners)
    write_report(folder, make_board(folder, "winners fixed, finals done"))
    return path


@pytest.fixture
def folder(honest: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(honest, tmp_path / "run"))


def wrong(folder: RunFolder) -> dict[str, list[str]]:
    """The faults that were found, by check."""
    found = verify_run(folder)
    return {
        one.check: [finding.sentence() for finding in one.findings if finding.wrong]
        for one in found.checks
        if not one.ok
    }


def change_line(file: Path, line: int, change: Callable[[str], str]) -> None:
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    changed = change(lines[line - 1])
    assert changed != lines[line - 1]
    lines[line - 1] = changed
    file.write_text("".join(lines), encoding="utf-8")


def change_json(file: Path, change: Callable[[Any], object]) -> None:
    value = json.loads(file.read_text(encoding="utf-8"))
    change(value)
    file.write_text(json.dumps(value), encoding="utf-8")


def test_an_honest_run_is_verified_again_and_again(folder: RunFolder) -> None:
    for _ in range(2):
        assert wrong(folder) == {}
    text = verify_run(folder).to_text()
    assert "verified: the board follows from its records" in text
    assert len(re.findall("^ok: ", text, flags=re.MULTILINE)) == 12


def test_verifying_is_one_opening_of_the_test_and_is_logged(folder: RunFolder) -> None:
    before = len(folder.test_accesses())
    verify_run(folder)
    (new,) = folder.test_accesses()[before:]
    assert new["why"] == "verify"


def test_verifying_changes_nothing_but_the_log_of_openings(folder: RunFolder) -> None:
    def content() -> dict[Path, bytes]:
        files = (path for path in folder.path.rglob("*") if path.is_file() and path.name != folder.access_file.name)
        return {path: path.read_bytes() for path in files}

    before = content()
    verify_run(folder)
    assert content() == before


@pytest.mark.parametrize(("line", "id"), [(1, "a-000"), (5, "a-final-1"), (14, "b-final-3")])
def test_one_changed_digit_in_the_trials_is_named_with_file_and_line(folder: RunFolder, line: int, id: str) -> None:
    change_line(folder.trials_file, line, lambda text: text.replace('"wall_seconds": 11', '"wall_seconds": 12'))
    assert wrong(folder) == {
        "records are chained": [
            f"trials.jsonl, line {line} ({id}): does not fit its chain: "
            "it was edited, or lines before it were removed, added or moved"
        ]
    }


def test_a_line_without_its_chain_and_all_that_follow_without_theirs_is_still_found(folder: RunFolder) -> None:
    lines = [json.loads(line) for line in folder.trials_file.read_text().splitlines()]
    for line in lines:
        del line[CHAIN]
    folder.trials_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = wrong(folder)["records are those of the board"]
    assert found.startswith("trials.jsonl: its first 14 lines are not those that the board was made from")


def test_a_better_final_is_found_in_the_chain_and_on_the_board(folder: RunFolder) -> None:
    change_line(folder.trials_file, 5, lambda text: re.sub(r'"validation": 0\.\d+', '"validation": 0.99', text))
    found = wrong(folder)
    assert "trials.jsonl, line 5 (a-final-1)" in found["records are chained"][0]
    assert "rows.a.validation_mean" in found["board"][0]


def test_a_deleted_line_is_found_where_it_stood(folder: RunFolder) -> None:
    change_line(folder.trials_file, 2, lambda _: "")
    found = wrong(folder)
    assert found["records are chained"][0].startswith("trials.jsonl, line 2 (a-002)")
    assert any("(a-001)" in one and "not on record" in one for one in found["ledger"])


def test_a_line_deleted_at_the_end_is_found(folder: RunFolder) -> None:
    lines = folder.ledger_file.read_text().splitlines(keepends=True)
    folder.ledger_file.write_text("".join(lines[:-1]))
    found = wrong(folder)
    assert found["records are those of the board"] == [
        f"ledger.jsonl: holds {len(lines) - 1} whole lines; the board was made from {len(lines)}: lines were removed"
    ]
    assert "records are chained" not in found


def test_swapped_lines_are_found(folder: RunFolder) -> None:
    lines = folder.baselines_file.read_text().splitlines(keepends=True)
    folder.baselines_file.write_text("".join(reversed(lines)))
    assert [one.partition(" (")[0] for one in wrong(folder)["records are chained"]] == [
        "baselines.jsonl, line 1",
        "baselines.jsonl, line 2",
    ]


def test_a_line_cut_off_by_a_crash_is_told_and_is_no_edit(folder: RunFolder) -> None:
    with open(folder.trials_file, "a", encoding="utf-8") as file:
        file.write('{"id": "a-final-4", "kind": "fin')
    found = verify_run(folder)
    assert found.ok
    notes = [finding.sentence() for one in found.checks for finding in one.findings]
    assert "trials.jsonl, line 15: a line cut off by a crash" in notes


def test_a_last_line_that_the_board_knew_whole_was_cut_by_no_crash(folder: RunFolder) -> None:
    folder.trials_file.write_bytes(folder.trials_file.read_bytes()[:-30])
    assert "14: lines were removed" in wrong(folder)["records are those of the board"][0]


READ_BY_PEOPLE = ("leaderboard.json", "leaderboard.md", "scores.json", "report.html")
FIXED = ("winners.json", "contest.json", "data/split.json", "request.yaml", "environment.json", "data/profile.json")
GROWING = ("trials.jsonl", "baselines.jsonl", "ledger.jsonl", "timings.jsonl", "test_access.jsonl", "published.jsonl")


@pytest.mark.parametrize("name", [*GROWING, *FIXED, *READ_BY_PEOPLE])
def test_a_digit_changed_anywhere_is_caught_and_its_file_named(folder: RunFolder, name: str) -> None:
    file = folder.path / name
    honest = file.read_bytes()
    digits = [match.start() for match in re.finditer(rb"\d", honest)]
    for place in (digits[0], digits[len(digits) // 2], digits[-1]):
        edited = bytearray(honest)
        edited[place] = ord("0") + (edited[place] - ord("0") + 1) % 10
        file.write_bytes(edited)
        assert any(name in one for one in verify_run(folder).problems), honest[max(0, place - 40) : place + 10]


@pytest.mark.parametrize("name", GROWING)
@pytest.mark.parametrize("cut", ["a line", "a part of a line", "all"])
def test_what_was_cut_from_the_end_of_a_record_is_missed(folder: RunFolder, name: str, cut: str) -> None:
    """Also where it was written after the board, as the opening is that somebody would rather not have made."""
    verify_run(folder)
    file = folder.path / name
    lines = file.read_bytes().splitlines(keepends=True)
    left = {"a line": lines[:-1], "a part of a line": [*lines[:-1], lines[-1][:-20]], "all": []}[cut]
    file.write_bytes(b"".join(left))
    for _ in range(2):  # the check opens the test itself: that goes on from the last line by then, and covers nothing
        assert any(one.startswith(name) for one in verify_run(folder).problems)


def test_an_opening_before_the_winners_that_was_made_to_vanish_is_missed(folder: RunFolder) -> None:
    """Winners forged, the test opened, winners and log removed: where the log ended is still known."""
    folder.winners_file.unlink()
    folder.leaderboard_json.unlink()
    folder.access_file.unlink()
    (found,) = wrong(folder)["records are those of the board"]
    assert found.startswith("test_access.jsonl: its last lines are not those that were written last")


def test_a_report_that_was_deleted_is_no_edit(folder: RunFolder) -> None:
    folder.report_html.unlink()
    assert wrong(folder) == {}
    assert "report.html: was published and is not there any more" in verify_run(folder).to_text()


def test_an_edited_ledger_is_found_by_its_sums_too(folder: RunFolder) -> None:
    change_line(folder.ledger_file, 3, lambda text: text.replace('"device_seconds": 10.0', '"device_seconds": 1.0'))
    found = wrong(folder)
    assert found["records are chained"][0].startswith("ledger.jsonl, line 3 (a-002)")
    assert "trials.jsonl, line 3 (a-002): spent 10 device-seconds, ledger.jsonl charges 1" in found["ledger"]
    assert any("a has 70 device-seconds, ledger.jsonl sums to 61" in one for one in found["ledger"])


def test_edited_predictions_are_named(folder: RunFolder) -> None:
    file = folder.predictions / "b-final-2.npz"
    with np.load(file) as arrays:
        held = dict(arrays)
    held["test"][0] = held["test"][0][::-1]
    np.savez_compressed(file, **held)
    assert wrong(folder)["predictions"] == [
        "predictions/b-final-2.npz (b-final-2): was changed since the training wrote it (trials.jsonl, line 13)"
    ]


def test_missing_predictions_are_named(folder: RunFolder) -> None:
    (folder.predictions / "baseline-constant.npz").unlink()
    assert "predictions/baseline-constant.npz" in wrong(folder)["predictions"][0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda board: board.update(verdict="b won"), "leaderboard.json: verdict is"),
        (lambda board: board.update(comparable=False), "leaderboard.json: comparable is false"),
        (lambda board: board["rows"][0].update(test_mean=0.99), "rows.a.test_mean is 0.99"),
        (lambda board: board["rows"].reverse(), "order of the rows"),
        (lambda board: board["rows"][0].pop("test_low"), "has no rows.a.test_low"),
        (lambda board: board["rows"].pop(), "has no rows."),
    ],
)
def test_an_edited_board_is_found(folder: RunFolder, change: Callable[[Any], object], said: str) -> None:
    change_json(folder.leaderboard_json, change)
    assert any(said in one for one in wrong(folder)["board"])


def test_a_removed_opening_of_the_test_is_found(folder: RunFolder) -> None:
    folder.access_file.write_text("")
    assert "1 openings of the test, 0 are on record" in wrong(folder)["openings of the test"][0]


def test_another_winner_is_found(folder: RunFolder) -> None:
    change_json(folder.winners_file, lambda value: value["winners"]["a"].update(trial="a-002"))
    found = wrong(folder)
    assert found["winners"] == ["winners.json: a: trial a-002; trials.jsonl gives a-000"]
    assert found["records are those of the board"] == ["winners.json: is not the file that the board was made from"]


def test_another_contest_is_found(folder: RunFolder) -> None:
    change_json(folder.contest_file, lambda value: value.update(seeds=[1, 2]))
    found = wrong(folder)
    assert "contest.json" in found["records are those of the board"][0]
    assert any("seed 3 is none of the contest's (1, 2)" in one for one in found["finals"])


def test_other_labels_are_found(folder: RunFolder) -> None:
    path = folder.data / "test_labels.arrow"
    with pa.memory_map(str(path)) as source:
        table = pyarrow.ipc.open_file(source).read_all()
    table = table.set_column(1, "label", pa.array(["yes"] * len(table)))
    table = pa.table({name: table[name].to_pylist() for name in table.column_names})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    assert "does not hold the labels that were sealed" in wrong(folder)["test labels"][0]


def test_a_record_that_was_made_unreadable_does_not_stop_the_other_checks(folder: RunFolder) -> None:
    change_line(folder.trials_file, 1, lambda text: text.replace('"cost": {', '"price": {'))
    found = wrong(folder)
    assert found["records are chained"][0].startswith("trials.jsonl, line 1 (a-000)")
    assert "could not be checked" in found["ledger"][0]


def test_a_run_of_an_older_version_is_verified_as_far_as_its_records_go(folder: RunFolder) -> None:
    for file in folder.record_files:
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        for line in lines:
            line.pop(CHAIN), line.pop("predictions_sha256", None)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    shutil.rmtree(folder.path / ENDS)
    folder.published_file.unlink()

    def older(board: Any) -> None:
        del board["protocol"]["records"]
        del board["protocol"]["test_openings"][0][CHAIN]

    change_json(folder.leaderboard_json, older)
    found = verify_run(folder)
    assert found.ok, found.to_text()
    assert "14 lines of an older version carry no chain: an edit would not show" in found.to_text()
    assert "the board is of an older version" in found.to_text()


def test_a_run_without_winners_keeps_its_test_sealed(folder: RunFolder) -> None:
    folder.winners_file.unlink()
    folder.leaderboard_json.unlink()
    before = folder.test_accesses()
    found = verify_run(folder)
    assert found.ok, found.to_text()
    assert folder.test_accesses() == before
    assert "sealed until the winners are fixed" in found.to_text()


def test_the_json_form_names_file_line_and_id(folder: RunFolder) -> None:
    change_line(folder.trials_file, 4, lambda text: text.replace('"seed": 1000', '"seed": 1001'))
    found: Verification = verify_run(folder)
    value = json.loads(json.dumps(found.to_json()))
    assert value["ok"] is False
    (first,) = value["checks"][0]["findings"]
    assert (first["file"], first["line"], first["id"], first["wrong"]) == ("trials.jsonl", 4, "a-003", True)


# -- the rows of data --------------------------------------------------------------------------------------------


@pytest.fixture
def with_rows(tmp_path: Path) -> RunFolder:
    """A folder with prepared rows and a contest, before any training."""
    prepared = prepared_messages(tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    folder.write_contest({
        "split_fingerprint": prepared.split.fingerprint, "schema": prepared.schema.to_json(), "contenders": [],
    })  # fmt: skip
    return folder


def test_rows_that_were_left_alone_still_have_their_fingerprint(with_rows: RunFolder) -> None:
    assert check_split(Evidence(with_rows)) == []


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_changed_text_is_found(with_rows: RunFolder, part: str) -> None:
    change_rows(with_rows.data / f"{part}.arrow", lambda rows: rows[3].update(text="another text"))
    (found,) = check_split(Evidence(with_rows))
    assert found.sentence().startswith(f"data/{part}.arrow: its rows are not those of the split")


def test_a_missing_row_is_found(with_rows: RunFolder) -> None:
    change_rows(with_rows.data / "test.arrow", lambda rows: rows.pop())
    (found,) = check_split(Evidence(with_rows))
    assert found.sentence() == "data/test.arrow: holds other rows than split.json says"


def test_hashes_that_do_not_give_the_fingerprint_are_found(with_rows: RunFolder) -> None:
    change_json(with_rows.data / "split.json", lambda value: value["parts"]["train"].update(sha256="0" * 64))
    said = [one.sentence() for one in check_split(Evidence(with_rows))]
    assert "data/split.json: the hashes of its parts do not give the fingerprint" in said


def change_rows(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    with pa.memory_map(str(path)) as source:
        table = pyarrow.ipc.open_file(source).read_all()
    rows = table.to_pylist()
    change(rows)
    changed = pa.Table.from_pylist(rows, schema=table.schema)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, changed.schema) as writer:
        writer.write_table(changed)
