"""A training on nodes that see nothing of the driver's machine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl.data.prepared import read_part
from automl.leaderboard.kept import KeptRun
from automl.leaderboard.store import RunFolder
from automl.search.away import brought_away
from automl.storage import mirror
from automl.storage.bundle import NODE_CACHE
from automl.storage.place import Storage
from automl.training.away import NotHere, brought_here, state_kept
from automl.training.workers import train_spec
from automl.types import TrialSpec
from tests.pictures import net_contender, prepared_pictures, tiny_net
from tests.toys import prepared_messages, tiny_bert, tiny_contender, trial_spec


class Killed(BaseException):
    """The end of a process, which no handler sees."""


def train(spec: TrialSpec, send: Callable[[dict[str, Any]], None]) -> None:
    """What a trial's process does."""
    here = brought_here(spec)
    with state_kept(here, send) as handing_over:
        train_spec(here, 1, handing_over)


def away(directory: Path, pictures: bool = False, **changes: Any) -> tuple[TrialSpec, Storage]:
    """A spec of which the driver's files are gone: nodes have the storage alone."""
    home = directory / "home"
    if pictures:
        contender, prepared = net_contender(tiny_net(home / "net")), prepared_pictures(home / "run", 10)
    else:
        contender, prepared = tiny_contender(tiny_bert(home / "bert")), prepared_messages(home / "run")
    folder = RunFolder(home / "run")
    kept = KeptRun(folder, str(directory / "storage"))
    found = brought_away(folder, [contender], prepared, kept)[contender.name]
    spec = replace(trial_spec(home / "run", contender, prepared, **changes), away=found)
    shutil.rmtree(home)
    return spec, Storage(kept.url)


def test_a_training_goes_on_on_another_node_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "PAUSE_SECONDS", 0.01)
    spec, storage = away(tmp_path, epochs=4)
    spec = replace(spec, checkpoint_seconds=0.0, kind="final")
    monkeypatch.setenv(NODE_CACHE, str(tmp_path / "whole"))
    whole: list[dict[str, Any]] = []
    train(replace(spec, id="whole"), whole.append)

    monkeypatch.setenv(NODE_CACHE, str(tmp_path / "first"))
    reports: list[dict[str, Any]] = []

    def dies_once_its_checkpoint_is_kept(message: dict[str, Any]) -> None:
        reports.append(message)
        if len(reports) < 2:
            return
        (newest,) = (tmp_path / "first").rglob(f"{spec.id}.resume.pt")  # written after the first report
        for _ in range(3000):
            kept = storage.read(f"checkpoints/{spec.id}.resume.pt")
            if kept == newest.read_bytes() and storage.read(f"logs/heartbeats/{spec.id}.json"):
                raise Killed
            time.sleep(0.01)

    with pytest.raises(Killed):
        train(spec, dies_once_its_checkpoint_is_kept)

    monkeypatch.setenv(NODE_CACHE, str(tmp_path / "second"))
    told: list[dict[str, Any]] = []
    train(spec, told.append)
    assert told[-1]["status"] == "completed"
    assert told[-1]["metrics"] == whole[-1]["metrics"]
    assert told[-1]["spent"]["retry"] > 0
    assert len(told) < len(whole)  # it did not begin anew
    assert told[0]["earlier"]
    assert storage.read(told[-1]["predictions_file"]) is not None
    assert storage.read(f"{told[-1]['model_dir']}/model.safetensors") is not None
    assert storage.read(f"checkpoints/{spec.id}.resume.pt") is None
    assert not list((tmp_path / "second").rglob("*.npz"))  # handed over, not kept


def test_the_labels_of_the_test_never_reach_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NODE_CACHE, str(tmp_path / "node"))
    spec, storage = away(tmp_path)
    assert not [name for name in storage.names() if "test_labels" in name]
    assert sorted(file.name for file in Path(brought_here(spec).data_directory).glob("*.arrow")) == [
        "test.arrow", "train.arrow", "validation.arrow",
    ]  # fmt: skip


def test_image_files_travel_with_the_rows_that_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NODE_CACHE, str(tmp_path / "node"))
    spec, _ = away(tmp_path, pictures=True, epochs=2)
    told: list[dict[str, Any]] = []
    train(spec, told.append)
    assert told[-1]["status"] == "completed", told[-1]["error"]
    data = Path(brought_here(spec).data_directory)
    (column,) = spec.schema.inputs
    named = read_part(data, "train")[column].to_pylist()
    assert {Path(name).parent for name in named} == {Path("files")}  # below the bundle, wherever a node has it
    assert len({(data / name).read_bytes() for name in named}) == len(named)


def test_a_node_without_the_files_says_so_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NODE_CACHE, str(tmp_path / "node"))
    spec, storage = away(tmp_path)
    with pytest.raises(NotHere, match=r"does not see .*; nodes that all see the run folder .*--storage s3://"):
        brought_here(replace(spec, away=None))
    storage.drop_folder("bundles")
    with pytest.raises(NotHere, match="is not whole"):
        brought_here(spec)
