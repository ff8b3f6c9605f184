"""A run folder and its place in a storage: which of both may be gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from automl.config import make_request
from automl.errors import RunFolderError
from automl.leaderboard.kept import KeptRun, fetch_run, holds_kept_run
from automl.leaderboard.store import RunFolder
from automl.storage.place import Storage
from automl.types import Cost, TrialResult


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "here" / "run")
    folder.create(make_request({"source": "data.csv"}))
    folder.append_timing("prepare", 1.0)
    (folder.data / "test_labels.arrow").write_text("sealed")
    (folder.cache / "large").write_text("cache")
    (folder.checkpoints / "final").mkdir()
    (folder.checkpoints / "final" / "model.safetensors").write_text("weights")
    return folder


def trial(name: str) -> TrialResult:
    return TrialResult(
        id=name, kind="trial", contender="a", status="completed", recipe={}, seed=1, horizon_samples=1, curve=(),
        validation=0.5, cost=Cost(), error=None, predictions_file=None, split_fingerprint="", environment={},
        started_at="", ended_at="",
    )  # fmt: skip


def keep(folder: RunFolder, place: Path) -> None:
    with KeptRun(folder, str(place)).kept(print):
        pass


def test_what_was_kept_comes_back_as_a_run_folder(folder: RunFolder, tmp_path: Path) -> None:
    place, target = tmp_path / "storage" / "run", tmp_path / "elsewhere" / "run"
    keep(folder, place)
    Storage(str(place)).put_bytes(b"rows", "bundles/key/train.arrow")
    assert holds_kept_run(str(place))
    assert holds_kept_run("s3://bucket/runs/run")
    assert not holds_kept_run(str(folder.path))
    fetch_run(str(place), target)
    names = {file.relative_to(target).as_posix() for file in target.rglob("*") if file.is_file()}
    assert names == {"request.yaml", "timings.jsonl", ".ends/timings.jsonl", "data/test_labels.arrow"}
    assert RunFolder.existing(target).timings() == {"prepare": 1.0}
    with pytest.raises(RunFolderError, match=r"is there already, .*automl resume"):
        fetch_run(str(place), target)
    with pytest.raises(RunFolderError, match="holds no run"):
        fetch_run(str(tmp_path / "storage"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_folder_that_another_machine_has_left_behind_is_not_gone_on_with(folder: RunFolder, tmp_path: Path) -> None:
    place = tmp_path / "storage" / "run"
    keep(folder, place)
    shutil.copytree(folder.path, tmp_path / "old")
    folder.append_timing("search", 2.0)
    keep(folder, place)
    with pytest.raises(RunFolderError, match=r"holds more of timings\.jsonl than .*automl resume"):
        keep(RunFolder(tmp_path / "old"), place)
    assert b"search" in (Storage(str(place)).read("timings.jsonl") or b"")
    keep(folder, place)  # and it took leave of the storage


def test_what_an_ended_training_had_kept_goes_and_a_model_stays(folder: RunFolder, tmp_path: Path) -> None:
    place = tmp_path / "storage" / "run"
    storage, model = Storage(str(place)), "checkpoints/ended/model.safetensors"
    places = (("logs/heartbeats", ".json"), ("checkpoints", ".resume.pt"))
    state = [f"{where}/{name}{ending}" for where, ending in places for name in ("ended", "begun")]
    for name in (*state, model):
        storage.put_bytes(b"state", name)
    folder.append_trial(trial("ended"))
    with KeptRun(folder, str(place)).kept(print) as kept:
        kept.forget_ended()
    left = [name for name in storage.names() if name.startswith(("checkpoints/", "logs/"))]
    assert sorted(left) == sorted([*state[1::2], model])


def test_a_place_that_holds_a_run_takes_no_other(folder: RunFolder, tmp_path: Path) -> None:
    keep(folder, tmp_path / "storage" / "run")
    kept = KeptRun(RunFolder(tmp_path / "new" / "run"), str(tmp_path / "storage" / "run"))
    with pytest.raises(RunFolderError, match="already holds a run"):
        kept.refuse_other_run()


def test_a_storage_that_fails_at_the_end_says_where_the_run_is_whole(folder: RunFolder, tmp_path: Path) -> None:
    def keep_while_the_storage_goes() -> None:
        with KeptRun(folder, str(tmp_path / "storage" / "run")).kept(print):
            shutil.rmtree(tmp_path / "storage")
            (tmp_path / "storage").write_text("a file where the storage was")

    with pytest.raises(RunFolderError, match=rf"cannot be reached: .*automl resume {folder.path}"):
        keep_while_the_storage_goes()
