"""A row of a real toy run, trained again: matched; edited: missed or refused. And the same run verified."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from automl import api
from automl.cli import main
from automl.config import make_request
from automl.data.folds import FOLDS, read_fold
from automl.data.write import write_arrow
from automl.errors import CheckpointError, RunFolderError
from automl.leaderboard.store import RunFolder
from tests.toys import messages, tiny_bert, write_csv

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_ray")]
ROW = "bert/full"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """messages.csv, a checkpoint `bert`, and the finished run `toy`, with folds."""
    directory = tmp_path_factory.mktemp("ground")
    write_csv(directory / "messages.csv", messages(150))
    tiny_bert(directory / "bert")
    values: dict[str, Any] = {
        "source": str(directory / "messages.csv"), "target": "label", "text": "text",
        "models": str(directory / "bert"), "trials": 2, "max_epochs": 3, "seeds": 2, "folds": 3,
        "out": str(directory / "toy"),
    }  # fmt: skip
    api.run(make_request(values))
    return directory


@pytest.fixture
def folder(ground: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(ground / "toy", tmp_path / "toy"))


def content(folder: RunFolder) -> dict[Path, bytes]:
    """Every file but the log of openings and the lock."""
    files = (path for path in folder.path.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if path.name not in (folder.access_file.name, ".lock")}


def edit_recipes(folder: RunFolder, old: str, new: str, *files: Path) -> None:
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_replayed_row_matches_to_the_bit_and_leaves_the_run_as_it_was(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before, openings = content(folder), len(folder.test_accesses())
    neighbours = set(folder.path.parent.iterdir())
    assert main(["replay", str(folder.path), "--row", ROW, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    seed = json.loads((folder.models / "bert-full" / "automl.json").read_text())["seed"]
    assert (told["matched"], told["row"], told["seed"]) == (True, ROW, seed)
    assert told["max_difference"] == 0.0
    assert told["differs"] == []
    (row,) = [one for one in json.loads(folder.leaderboard_json.read_text())["rows"] if one["contender"] == ROW]
    assert told["test_then"] == told["test_now"] == row["test_per_seed"][row["seeds"].index(seed)]
    assert content(folder) == before
    assert set(folder.path.parent.iterdir()) == neighbours
    (new,) = folder.test_accesses()[openings:]
    assert new["why"] == f"replay of {ROW} on seed {seed}"


def test_a_row_whose_recipe_was_edited_everywhere_misses(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rate = json.dumps(folder.read_winners()[ROW]["recipe"]["learning_rate"])
    files = folder.trials_file, folder.winners_file
    edit_recipes(folder, f'"learning_rate": {rate}', '"learning_rate": 0.0123', *files)
    seed = str(folder.read_contest()["seeds"][1])
    assert main(["replay", str(folder.path), "--row", ROW, "--seed", seed]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"MISSED: {ROW} on seed {seed}")
    assert "largest difference of a test probability: 0 (" not in said


def test_a_recipe_that_was_edited_in_one_place_is_refused(folder: RunFolder) -> None:
    rate = json.dumps(folder.read_winners()[ROW]["recipe"]["learning_rate"])
    edit_recipes(folder, f'"learning_rate": {rate}', '"learning_rate": 0.0123', folder.winners_file)
    with pytest.raises(RunFolderError, match="is not that of winners.json"):
        api.replay(folder.path, ROW)


def test_a_changed_checkpoint_is_refused(ground: Path, folder: RunFolder, tmp_path: Path) -> None:
    other = tiny_bert(tmp_path / "other", seed=9)
    weights = ground / "bert" / "model.safetensors"
    kept = weights.read_bytes()
    try:
        shutil.copyfile(other / "model.safetensors", weights)
        with pytest.raises(CheckpointError, match=r"has changed: its revision is .*Put those files back"):
            api.replay(folder.path, ROW)
    finally:
        weights.write_bytes(kept)


def test_changed_rows_are_refused(folder: RunFolder) -> None:
    file = folder.data / "train.arrow"
    data = file.read_bytes()
    index = data.index(b"please")
    file.write_bytes(data[:index] + b"plaese" + data[index + 6 :])
    with pytest.raises(RunFolderError, match=r"train\.arrow: its rows are not those of the split"):
        api.replay(folder.path, ROW)


def test_changed_predictions_are_refused(folder: RunFolder) -> None:
    for file in folder.predictions.glob("bert-full-final-*.npz"):
        file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(RunFolderError, match="was changed since the training wrote it"):
        api.replay(folder.path, ROW)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--row nobody/full", "'nobody/full' is no contender"),
        ("--row constant", "a yardstick without a recipe"),
        (f"--row {ROW} --seed 7", "has no final on seed 7"),
        (f"--row {ROW} --seed seven", "--seed is 'seven'"),
    ],
)
def test_a_row_or_seed_that_is_not_there_is_told(
    folder: RunFolder, words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    openings = folder.test_accesses()
    assert main(["replay", str(folder.path), *words.split()]) == 2
    assert said in capsys.readouterr().err
    assert folder.test_accesses() == openings


def test_folds_decide_and_every_final_has_a_cut_of_its_own(folder: RunFolder) -> None:
    trials, contest = folder.trials(), folder.read_contest()
    assert {one.fold for one in trials if one.kind == "trial"} == {1}
    assert sorted(one.fold or 0 for one in trials if one.kind == "playoff") == [2, 2, 3, 3]
    assert {one.seed: one.fold for one in trials if one.kind == "final"} == dict(
        zip(contest["seeds"], (1, 2), strict=True)
    )
    winner = folder.read_winners()[ROW]
    assert winner["trial"] == winner["playoff"][0]["trial"]
    spent = sum(one.device_seconds for one in folder.ledger() if "-playoff-" in one.trial)
    assert spent == pytest.approx(sum(one.cost.device_seconds for one in trials if one.kind == "playoff"))
    board = folder.leaderboard_md.read_text(encoding="utf-8")
    assert "has the best mean over 3 of 3 folds" in board
    assert "each with a cut of its own (3 folds)" in board
    assert len(list(folder.cache.glob("bert-full/encoded-pool"))) == 1


def test_a_play_off_is_told_apart_from_trials_and_finals(
    folder: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads(folder.plan_file.read_text(encoding="utf-8"))["estimate"]["contenders"][0]["playoffs"] == [4, 4]
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["watch", str(folder.path), "--once"]) == 0
    (told, *_) = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(ROW)]
    finals = sum(one.kind in ("final", "default") for one in folder.trials())
    assert (told[1], told[-4:-2]) == ("2/2", ["4/4", str(finals)])
    report = folder.report_html.read_text(encoding="utf-8")
    assert "<h3>The play-off</h3>" in report
    assert "All are judged on fold 1." in report
    assert "first of 3 folds" in (folder.models / "bert-full" / "README.md").read_text(encoding="utf-8")


def test_what_the_search_promised_is_held_against_finals_on_the_same_cuts(folder: RunFolder) -> None:
    (row,) = [one for one in json.loads(folder.leaderboard_json.read_text())["rows"] if one["contender"] == ROW]
    chosen = folder.read_winners()[ROW]["playoff"][0]["values"]
    finals = {str(one.fold): one.validation or 0.0 for one in folder.trials() if one.kind == "final"}
    assert set(finals) == {"1", "2"}
    gaps = [chosen[fold] - value for fold, value in finals.items()]
    assert row["optimism"]["search_minus_finals"] == pytest.approx(sum(gaps) / 2)


def test_a_cut_that_was_moved_is_found(folder: RunFolder) -> None:
    table = pa.table({name: np.roll(read_fold(folder.data, number), number - 1) for number, name in
                      ((1, "fold_1"), (2, "fold_2"), (3, "fold_3"))})  # fmt: skip
    write_arrow(folder.data / FOLDS, table)
    problems = api.verify(folder.path).problems
    assert any("data/folds.arrow: fold 2: its rows are not those of the split" in one for one in problems)
    assert not any("fold 1" in one for one in problems)


def test_a_real_run_is_verified(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"]
    assert [finding for check in told["checks"] for finding in check["findings"]] == []


def test_one_changed_digit_of_a_real_run_is_named(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    lines = folder.trials_file.read_text().splitlines(keepends=True)
    place = lines[1].index('"train_loss": 1.') + len('"train_loss": 1.')
    digit = "0" if lines[1][place] != "0" else "1"
    lines[1] = lines[1][:place] + digit + lines[1][place + 1 :]
    folder.trials_file.write_text("".join(lines))
    assert main(["verify", str(folder.path)]) == 1
    id = json.loads(lines[1])["id"]
    assert f"trials.jsonl, line 2 ({id}): does not fit its chain" in capsys.readouterr().out


def test_a_changed_text_of_the_test_is_found(folder: RunFolder) -> None:
    file = folder.data / "test.arrow"
    data = file.read_bytes()
    index = data.index(b"please")
    file.write_bytes(data[:index] + b"plaese" + data[index + 6 :])
    assert any("data/test.arrow: its rows are not those" in one for one in api.verify(folder.path).problems)


def test_a_run_compares_with_itself_moved_elsewhere(
    ground: Path, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(ground / "toy"), str(folder.path)]) == 0
    assert "NOT COMPARABLE" not in capsys.readouterr().out
    board = json.loads(folder.leaderboard_json.read_text())
    folder.leaderboard_json.write_text(json.dumps(board | {"metric": "log_loss"}))
    assert main(["compare", str(ground / "toy"), str(folder.path)]) == 1
    assert "they do not have the same metric" in capsys.readouterr().out
