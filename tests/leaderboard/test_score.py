"""The test labels stay sealed until the winners are fixed, and every opening is on record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

import automl
from automl.errors import RunFolderError, SealedTest
from automl.leaderboard.score import score_run
from automl.leaderboard.store import RunFolder
from tests.leaderboard.run_folder import Contest, Plan


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    plans = [Plan(name="a/full", accuracy=0.95), Plan(name="b/full", accuracy=0.9, default_accuracy=0.88)]
    return Contest(path=tmp_path / "run", plans=plans).build()


def test_without_winners_the_test_stays_shut_and_nothing_is_logged(folder: RunFolder) -> None:
    folder.winners_file.unlink()
    with pytest.raises(SealedTest, match="automl resume"):
        score_run(folder, "curiosity")
    assert folder.test_accesses() == []


def test_one_contender_without_a_winner_keeps_the_test_shut(folder: RunFolder) -> None:
    winners = folder.read_winners()
    del winners["b/full"]
    folder.write_winners(winners)
    with pytest.raises(SealedTest, match="b/full"):
        score_run(folder, "curiosity")
    assert folder.test_accesses() == []


def test_each_opening_is_logged_with_who_and_why(folder: RunFolder) -> None:
    score_run(folder, "first")
    score_run(folder, "second", who="auditor")
    told = folder.test_accesses()
    assert [line["why"] for line in told] == ["first", "second"]
    assert told[1]["who"] == "auditor"
    assert all(set(line) == {"at", "who", "why", "split_fingerprint", "chain"} for line in told)


def test_no_other_module_names_the_file_of_the_labels() -> None:
    """prepare.py writes it, score.py reads it; the others name it in a sentence."""
    package = Path(automl.__file__).parent
    naming = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "TEST_LABELS" in (source := path.read_text(encoding="utf-8")) or "test_labels.arrow" in source
    }
    in_a_sentence = {"types.py", "leaderboard/content_checks.py"}
    assert naming - in_a_sentence == {"data/prepare.py", "leaderboard/score.py"}


def test_scores_are_those_of_the_saved_predictions(folder: RunFolder) -> None:
    with pa.memory_map(str(folder.data / "test_labels.arrow")) as source:
        words = pyarrow.ipc.open_file(source).read_all()["label"].to_pylist()
    labels = np.array([("no", "yes").index(word) for word in words])
    with np.load(folder.predictions / "a-full-final-2.npz") as arrays:
        accuracy = float((arrays["test"].argmax(axis=1) == labels).mean())
    scored = score_run(folder, "test").finals["a/full"]
    assert scored.per_seed[1] == pytest.approx(accuracy)
    assert scored.confusion.sum() == pytest.approx(len(labels))


def test_labels_that_were_changed_are_refused(folder: RunFolder) -> None:
    path = folder.data / "test_labels.arrow"
    with pa.memory_map(str(path)) as source:
        table = pyarrow.ipc.open_file(source).read_all()
        words = table["label"].to_pylist()
    words[0] = "yes" if words[0] == "no" else "no"
    changed = pa.table({"row": table["row"].to_pylist(), "label": words})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, changed.schema) as writer:
        writer.write_table(changed)
    with pytest.raises(RunFolderError, match="sealed"):
        score_run(folder, "test")


def test_missing_labels_say_what_to_restore(folder: RunFolder) -> None:
    (folder.data / "test_labels.arrow").unlink()
    with pytest.raises(RunFolderError, match="Restore"):
        score_run(folder, "test")


@pytest.mark.parametrize("damage", ["missing", "cut", "not numbers", "too few rows"])
def test_predictions_that_cannot_be_scored_are_told_by_seed(folder: RunFolder, damage: str) -> None:
    path = folder.predictions / "a-full-final-2.npz"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        with np.load(path) as arrays:
            values = arrays["test"].copy()
        values[0, 0] = np.nan
        np.savez(path, test=values if damage == "not numbers" else values[1:])
    scored = score_run(folder, "test").finals["a/full"]
    assert [one.seed for one in scored.trainings] == [1, 3]
    assert len(scored.problems) == 1
    assert scored.problems[0].startswith("seed 2: a-full-final-2.npz")


def test_an_older_split_without_a_seal_can_still_be_scored(folder: RunFolder) -> None:
    split = folder.split()
    del split["test_labels_sha256"]
    (folder.data / "split.json").write_text(json.dumps(split))
    assert score_run(folder, "test").test_rows == 600
