"""W&B online, against a server on this machine that answers, and refuses in several ways, as W&B's would."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from automl import api
from automl.config import make_request
from automl.errors import RunFolderError
from automl.leaderboard.store import RunFolder
from automl.tracking import wandb as tracking
from automl.tracking.base import Insights, Tracker
from automl.tracking.wandb import WandbTracker
from automl.tracking.wandb_sync import sync, unsent
from automl.types import TrialSpec
from tests.toys import messages, tiny_bert, write_csv

pytest.importorskip("wandb")
from automl.tracking.wandb_files import merged, read_run  # noqa: E402
from tests.tracking.followed import BOARD, CONTENDER, follow_a_run, info, result, row, spec, wait_until  # noqa: E402
from tests.tracking.wandb_runs import read_runs  # noqa: E402
from tests.tracking.wandb_server import KEY, WandbServer, wandb_server  # noqa: E402

CPU = "system/worker1/cpu_percent"
NAMES = {
    "reviews", "baseline/constant", "all-minilm-l6-v2/full/final-seed-11",
    *(f"all-minilm-l6-v2/full/{number:03d}" for number in range(3)), "all-minilm-l6-v2/full/000-fold-2",
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
    told = [(line["samples_seen"], line.get("accuracy"), line.get(CPU)) for line in trial.history]
    assert told == [(80, 0.6, None), (120, None, 60.5), (160, 0.8, 61.5)]
    assert {run.exit_code for name, run in runs.items() if not name.endswith("/002")} == {0}
    assert runs["all-minilm-l6-v2/full/002"].exit_code == 1
    assert "completed" in runs["all-minilm-l6-v2/full/final-seed-11"].tags, "also after its model was sent"
    [model] = [one for one in server.artifacts if one["type"] == "model"]
    assert set(model["aliases"]) == {"best", "rank-1", "all-minilm-l6-v2-full", "latest"}
    assert "reviews-data" in runs["all-minilm-l6-v2/full/final-seed-11"].uses
    assert any(body == b"weights" for body in server.files.values())
    assert lines == ["W&B: report.html stays here: it quotes data rows; --share-examples sends it"]
    assert not any(b"secret row" in body for body in server.files.values())
    assert unsent(tmp_path / "wandb") == []


def test_names_longer_than_wandb_takes_lose_their_middle(server: WandbServer, tmp_path: Path) -> None:
    lines: list[str] = []
    long = replace(spec("t0"), contender=replace(CONTENDER, name=f"{'m' * 200}/full"))
    tracker = online(lines)
    tracker.start(replace(info(tmp_path), name="r" * 200))
    tracker.trial_started(long)
    tracker.trial_reported(long, row(80, 0.5))
    tracker.trial_ended(long, result(long, "completed", row(80, 0.5)))
    tracker.close("done")
    assert lines == []
    [trial] = (run for run in server.runs.values() if run.job_type == "trial")
    assert (len(trial.name), trial.name[-9:]) == (127, "/full/000")
    assert len(trial.group) == 127
    assert f"{'m' * 31}…{'m' * 26}/full" in trial.tags


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
    monkeypatch.setitem(tracking._SETTINGS, "finish_timeout", 20.0)  # of runs that begin offline: a file is written
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


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The address of a server that answers everything with this status."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

        def _refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.end_headers()

        do_GET = do_POST = _refuse

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    http.server_close()
    thread.join()


class CutsTheNetwork(Tracker):
    """Cuts W&B's off once the server knows a training, and collects what the user is told."""

    def __init__(self, server: WandbServer) -> None:
        self.server, self.lines = server, list[str]()

    def note(self, text: str) -> None:
        self.lines.append(text)

    def trial_reported(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        if self.server.refusal is None:
            wait_until(lambda: any(run.job_type == "trial" for run in self.server.runs.values()), 60)
            self.server.refusal = "cut_off"


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_sweep_ends_whole_while_four_trackers_fail_in_four_ways(
    server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W&B is cut off in the middle, TensorBoard's disk is full, MLflow refuses the key, the webhook limits rates."""
    pytest.importorskip("mlflow")
    record_writer = pytest.importorskip("tensorboardX.record_writer")
    monkeypatch.setattr(record_writer, "open_file", lambda path: open("/dev/full", "wb"))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    values: dict[str, Any] = {
        "source": str(write_csv(tmp_path / "messages.csv", messages(90))), "target": "label", "text": "text",
        "models": str(tiny_bert(tmp_path / "bert")), "trials": 3, "max_epochs": 2, "seeds": 1,
        "out": str(tmp_path / "run"), "wandb": "toys", "wandb_mode": "online", "tensorboard": True,
    }  # fmt: skip
    watching = CutsTheNetwork(server)
    with answering(401) as mlflow, answering(429) as webhook:
        request = make_request({**values, "mlflow": mlflow, "notify": f"{webhook}/hook"})
        board = api.run(request, trackers=[watching])
    assert {row.status for row in board.rows} == {"ok"}
    assert api.verify(board.directory).ok
    folder = RunFolder(board.directory)
    assert Counter(one.kind for one in folder.trials())["trial"] == 3
    told = {
        name: [line for line in watching.lines if line.startswith(name)]
        for name in ("W&B cannot be reached", "W&B does not take", "W&B refuses", "TensorBoard tracking stopped",
                     "MLflow tracking stopped", "the webhook of --notify was not reached")
    }  # fmt: skip
    assert sum(len(lines) for name, lines in told.items() if name.startswith("W&B")) == 1, watching.lines
    assert [len(lines) for name, lines in told.items() if not name.startswith("W&B")] == [1, 1, 1], watching.lines
    with wandb_server() as recovered:
        monkeypatch.setenv("WANDB_BASE_URL", recovered.url)
        assert sync(folder.wandb).left == 0
        sent = {run.name: sum("train_loss" in row for row in run.history) for run in recovered.runs.values()}
    points = {f"bert/full/{one.number:03d}": len(one.curve) for one in folder.trials() if one.kind == "trial"}
    assert {name: sent[name] for name in points} == points
