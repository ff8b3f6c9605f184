"""W&B online, against a server on this machine that answers, and refuses in several ways, as W&B's would."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from automl.errors import RunFolderError
from automl.tracking import wandb as tracking
from automl.tracking.base import Insights
from automl.tracking.wandb import WandbTracker
from automl.tracking.wandb_sync import sync, unsent

pytest.importorskip("wandb")
from automl.tracking.wandb_files import merged, read_run  # noqa: E402
from tests.tracking.followed import BOARD, follow_a_run, info, result, row, spec, wait_until  # noqa: E402
from tests.tracking.wandb_runs import read_runs  # noqa: E402
from tests.tracking.wandb_server import KEY, WandbServer, wandb_server  # noqa: E402

NAMES = {
    "reviews", "baseline/constant", "all-minilm-l6-v2/full/final-seed-11",
    *(f"all-minilm-l6-v2/full/{number:03d}" for number in range(3)),
}  # fmt: skip


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    import wandb

    wandb.teardown()  # W&B keeps the server of the test before
    home = tmp_path_factory.mktemp("home")
    with wandb_server() as running:
        for place in ("CONFIG", "CACHE", "DATA", "ARTIFACT"):
            monkeypatch.setenv(f"WANDB_{place}_DIR", str(home))
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
        monkeypatch.setenv("NETRC", str(home / "no-netrc"))
        for setting in ("init_timeout", "finish_timeout"):
            monkeypatch.setitem(tracking._SETTINGS, setting, 2.0)
        monkeypatch.setattr(tracking, "SECONDS_TO_SEND_A_MODEL", 5.0)
        yield running
    wandb.teardown()


def online(lines: list[str]) -> WandbTracker:
    return WandbTracker("my-project", "online", note=lines.append)


def test_a_run_is_seen_in_wandb_as_it_was(server: WandbServer, tmp_path: Path) -> None:
    lines: list[str] = []
    follow_a_run(tmp_path, online(lines))
    runs = server.by_name()
    assert set(runs) == NAMES
    trial = runs["all-minilm-l6-v2/full/000"]
    assert (trial.group, trial.job_type, trial.project) == ("reviews", "trial", "my-project")
    assert [(line["samples_seen"], line["accuracy"]) for line in trial.history] == [(80, 0.6), (160, 0.8)]
    assert {run.exit_code for name, run in runs.items() if not name.endswith("/002")} == {0}
    assert runs["all-minilm-l6-v2/full/002"].exit_code == 1
    [model] = [one for one in server.artifacts if one["type"] == "model"]
    assert set(model["aliases"]) == {"best", "rank-1", "all-minilm-l6-v2-full", "latest"}
    assert "reviews-data" in runs["all-minilm-l6-v2/full/final-seed-11"].uses
    assert any(body == b"weights" for body in server.files.values())
    assert lines == ["W&B: report.html stays here: it quotes data rows; --share-examples sends it"]
    assert not any(b"secret row" in body for body in server.files.values())
    assert unsent(tmp_path / "wandb") == []


def test_a_resumed_trial_goes_on_in_its_run(server: WandbServer, tmp_path: Path) -> None:
    trial = spec("all-minilm-l6-v2-full-000")
    for status in ("interrupted", "done"):
        tracker = online([])
        tracker.start(info(tmp_path))
        tracker.trial_started(trial)
        tracker.trial_reported(trial, row(80, 0.6))
        if status == "done":
            tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6), row(160, 0.8)))
        tracker.close(status)
    found = server.by_name()["all-minilm-l6-v2/full/000"]
    assert len(server.runs) == 2, "the benchmark and its trial, each once"
    assert [line["samples_seen"] for line in found.history] == [80, 160], "what is known is not logged again"
    assert found.summary["status"] == "completed"


@pytest.mark.parametrize("trouble", ["wrong_key", "rate_limit", "no_network"])
def test_a_server_that_fails_in_the_middle_costs_no_record_and_gets_all_later(
    trouble: str, server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    tracker = online(lines)
    tracker.start(info(tmp_path))
    trials = [spec(f"all-minilm-l6-v2-full-{number:03d}", number=number) for number in range(3)]
    tracker.trial_started(trials[0])
    wait_until(lambda: any(run.uses for run in server.runs.values()))
    if trouble == "no_network":
        server.stop()
    else:
        server.refusal = trouble  # type: ignore[assignment]
    started = time.monotonic()
    for trial in trials:
        tracker.trial_started(trial)
        tracker.trial_reported(trial, row(80, 0.6))
        tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6), row(160, 0.8)))
    assert time.monotonic() - started < 1.0, "the driver waits for nobody"
    tracker.close("done")
    assert sum("offline now, later: automl sync" in line for line in lines) == 1, lines
    kept = {run.name: run for run in merged(read_runs(tmp_path)) if run.exit_code is not None}
    for trial in trials:
        run = kept[f"all-minilm-l6-v2/full/{trial.number:03d}"]
        assert [line["samples_seen"] for line in run.history] == [80, 160]
        assert run.summary["status"] == "completed"
    with wandb_server() as recovered:
        monkeypatch.setenv("WANDB_BASE_URL", recovered.url)
        done = sync(tmp_path / "wandb")
        assert (done.left, done.problems) == (0, ())
        found = recovered.by_name()
        assert {run.exit_code for run in found.values()} == {0}
        assert set(found) >= {run.name for run in kept.values() if run.job_type == "trial"}
        assert sync(tmp_path / "wandb").sent == 0, "nothing is sent twice"


def test_the_board_of_a_run_that_was_cut_off_waits_for_nobody_and_is_sent_later(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    tracker, trial = online(lines), spec("all-minilm-l6-v2-full-000")
    tracker.start(info(tmp_path))
    tracker.trial_started(trial)
    wait_until(lambda: any(run.uses for run in server.runs.values()))
    server.refusal = "cut_off"
    tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6)))
    tracker.board(BOARD, {}, Insights(curves={"x": [row(80, 0.6), row(160, 0.8)]}))
    tracker.close("done")
    assert [line for line in lines if "automl sync" in line] == lines
    assert len(lines) == 1
    files = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert "reviews" in {read_run(file).name for file in files}, "the benchmark's run goes on offline"
    with wandb_server() as recovered:
        monkeypatch.setenv("WANDB_BASE_URL", recovered.url)
        assert sync(tmp_path / "wandb").left == 0
        assert recovered.by_name()["reviews"].summary["verdict"] == BOARD["verdict"]


def test_sync_tells_what_wandb_refuses_and_keeps_the_rest(server: WandbServer, tmp_path: Path) -> None:
    tracker = WandbTracker("my-project", "offline")
    tracker.start(info(tmp_path))
    tracker.close("done")
    server.refusal = "wrong_key"
    done = sync(tmp_path / "wandb")
    assert (done.sent, done.left) == (0, 1)
    assert "401" in done.problems[0]
    server.refusal = None
    assert sync(tmp_path / "wandb").sent == 1
    assert server.by_name()["reviews"].exit_code == 0
    with pytest.raises(RunFolderError, match="holds no runs of W&B"):
        sync(tmp_path / "elsewhere")
