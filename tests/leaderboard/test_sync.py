"""`automl sync` where W&B's own files are missing or cut off: its runs are written anew from the run's records."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automl.errors import RunFolderError
from automl.leaderboard.board import make_board
from automl.leaderboard.insights import insights_of
from automl.leaderboard.report import write_report
from automl.leaderboard.run_info import run_info
from automl.leaderboard.store import RunFolder, append_line
from automl.leaderboard.sync import _records, describe_run, sync_run
from automl.types import Contender, Schema, TrialResult, TrialSpec
from tests.leaderboard.run_folder import Contest, Plan

pytest.importorskip("wandb")
from automl.tracking.wandb import WandbTracker  # noqa: E402
from automl.tracking.wandb_files import WandbRun, merged, read_run, run_files, wait_for_ends  # noqa: E402
from automl.tracking.wandb_rebuild import rebuild  # noqa: E402
from tests.tracking.wandb_server import KEY, wandb_server  # noqa: E402

TRIAL, FINAL = "minilm/full/000", "minilm/full/final-seed-1"
CPU = "system/worker0/cpu_percent"


@pytest.fixture(scope="module", autouse=True)
def _wandb_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    import wandb

    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for place in ("CONFIG", "CACHE", "DATA", "ARTIFACT"):
            patch.setenv(f"WANDB_{place}_DIR", str(home))
        for variable in ("MODE", "TAGS", "BASE_URL"):
            patch.delenv(f"WANDB_{variable}", raising=False)
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("NETRC", str(home / "no-netrc"))
        yield
    wandb.teardown()


def spec_of(folder: RunFolder, result: TrialResult) -> TrialSpec:
    contest = folder.read_contest()
    contenders = [Contender.from_json(value) for value in contest["contenders"]]
    return TrialSpec(
        id=result.id, kind=result.kind, contender=next(one for one in contenders if one.name == result.contender),
        recipe=result.recipe, seed=result.seed, horizon_samples=900, rungs=(300, 900), number=result.number,
        split_fingerprint="f" * 64, data_directory="data", run_directory=str(folder.path),
        task="text-classification", metric="accuracy", schema=Schema.from_json(contest["schema"]),
    )  # fmt: skip


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A whole run of two contenders, one of which failed, and W&B's files of it as its tracker wrote them."""
    plans = [Plan(name="minilm/full", accuracy=0.9), Plan(name="bert/full", accuracy=0.5, failed=True, trials=1)]
    folder = Contest(path=tmp_path_factory.mktemp("runs") / "reviews", plans=plans).build()
    folder.write_request(folder.read_request().resolved(wandb="my-project", wandb_mode="offline"))
    append_line(folder.timings_file, {"at": "2026-01-01T00:00:00.123+00:00", "phase": "prepare", "wall_seconds": 1.0})
    for result in folder.trials():
        folder.append_started(spec_of(folder, result))
    model = folder.models / "minilm-full"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "automl.json").write_text('{"trained_as": "minilm-full-final-1"}')
    board = make_board(folder, why="winners fixed, finals done")
    write_report(folder, board)
    tracker = WandbTracker("my-project", "offline")
    tracker.start(run_info(folder, folder.read_request(), folder.read_contest()))
    records = _records(folder)
    assert records is not None
    for spec, result in records.trainings:
        tracker.trial_started(spec)
        for row in result.curve:
            tracker.resources_reported(spec, [{"samples_seen": row["samples_seen"] - 50, CPU: 150.5}])
            tracker.trial_reported(spec, row)
        tracker.trial_ended(spec, result)
    files = {"report": folder.report_html, "leaderboard": folder.leaderboard_md}
    tracker.board(board.to_json(), files, insights_of(folder, board))
    tracker.close("done")
    wait_for_ends(run_files(folder.wandb), 60)
    return folder


@pytest.fixture
def copy(followed: RunFolder, tmp_path: Path) -> RunFolder:
    shutil.copytree(followed.path, tmp_path / "reviews", symlinks=True)
    return RunFolder(tmp_path / "reviews")


def by_name(folder: RunFolder) -> dict[str, WandbRun]:
    return {run.name: run for run in merged([read_run(file) for file in run_files(folder.wandb)])}


def file_of(folder: RunFolder, name: str) -> Path:
    """The first file of a run, which holds its history."""
    return next(file for file in run_files(folder.wandb) if read_run(file).name == name)


def without_times(values: dict[str, Any]) -> dict[str, Any]:
    """W&B's own keys tell when it was written, and charts are named by their content's and their moment's hash."""
    return {name: value for name, value in values.items() if name[0] != "_" and not name.endswith("path")}


def facts(run: WandbRun, resources: bool = True) -> dict[str, Any]:
    history = [without_times(row) for row in run.history]
    if not resources:
        history = [row for row in history if CPU not in row]
    return {
        "id": run.id, "group": run.group, "job_type": run.job_type, "project": run.project, "notes": run.notes,
        "tags": set(run.tags), "exit_code": run.exit_code, "history": history,
        "config": {name: value for name, value in run.config.items() if name != "_wandb"},
        "summary": {name: value for name, value in without_times(run.summary).items() if resources or name != CPU},
        "artifacts": {(one.name, one.type, one.aliases, one.files, one.uses) for one in run.artifacts},
    }  # fmt: skip


def test_runs_that_are_there_whole_are_left_as_they_are(followed: RunFolder) -> None:
    before = {file: file.read_bytes() for file in followed.wandb.rglob("*.wandb*")}
    records = _records(followed)
    assert records is not None
    assert rebuild(followed.wandb, records, "my-project") == 0
    assert {file: file.read_bytes() for file in followed.wandb.rglob("*.wandb*")} == before
    assert "records" not in describe_run(followed)[-1]


def test_what_is_missing_or_cut_off_is_written_anew_and_sent_with_the_rest_each_once(
    followed: RunFolder, copy: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = by_name(copy)
    shutil.rmtree(file_of(copy, "minilm/full/001").parent)
    trial = file_of(copy, TRIAL)
    trial.write_bytes(trial.read_bytes()[: trial.read_bytes().rindex(b'"completed"')])  # in the middle of a record
    assert read_run(trial).exit_code is None
    assert any(CPU in row for row in read_run(trial).history)
    file_of(copy, "reviews").write_bytes(b"")
    file_of(copy, "baseline/constant").write_bytes(bytes(4096))  # as a disk leaves what it had no time to write
    shutil.rmtree(file_of(copy, FINAL).parent)  # its model is in another file, and stays there
    assert describe_run(copy)[-1] == "5 runs are not there, or not whole: written from the run's records"
    lines: list[str] = []
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        done = sync_run(copy, lines.append)
        assert (done.left, done.problems) == (0, ())
        served = server.by_name()
        assert sync_run(copy).sent == 0, "nothing is written or sent twice"
    assert lines[0] == "5 runs are not in W&B's files, or not whole: written from the run's records"
    found = by_name(copy)
    assert set(found) == set(whole) == set(served)
    for name, run in found.items():
        with_resources = name not in ("minilm/full/001", FINAL)
        assert facts(run, with_resources) == facts(whole[name], with_resources), name
    assert len(server.runs) == len(whole), "no run is there under a second id"
    told = [(row["samples_seen"], row.get("accuracy"), row.get(CPU)) for row in served[TRIAL].history]
    assert told == [(250, None, 150.5), (300, pytest.approx(0.9 - 0.2 + 0.2 / 3), None), (850, None, 150.5),
                    (900, pytest.approx(0.9), None)]  # fmt: skip
    assert served["bert/full/000"].exit_code == 1
    assert served["reviews"].summary["winner"] == "minilm/full"
    assert [one["type"] for one in server.artifacts if one["type"] == "model"] == ["model"]


def test_where_all_of_it_is_gone_the_runs_have_the_ids_that_they_had(followed: RunFolder, copy: RunFolder) -> None:
    shutil.rmtree(copy.wandb)
    records = _records(copy)
    assert records is not None
    assert rebuild(copy.wandb, records, "my-project") == len(by_name(followed))
    for name, run in by_name(copy).items():
        assert facts(run, False) == facts(by_name(followed)[name], False), name


def test_a_run_that_goes_on_is_left_to_its_tracker_and_one_without_wandb_alone(copy: RunFolder) -> None:
    shutil.rmtree(copy.wandb)
    with copy.lock(), pytest.raises(RunFolderError, match="holds no runs of W&B"):
        sync_run(copy)
    copy.write_request(copy.read_request().resolved(wandb=None))
    with pytest.raises(RunFolderError, match="holds no runs of W&B"):
        sync_run(copy)
    assert not os.path.exists(copy.wandb)
