"""MLflow's own server, with its SQLite store, in this process; and the store without a server."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from automl.errors import MissingExtra
from automl.tracking import mlflow as tracking
from automl.tracking.base import Tracker
from automl.tracking.mlflow import MlflowTracker
from tests.tracking.contract import PLAYOFF, TRIAL, Seen, TrackerContract
from tests.tracking.followed import info, result, row, spec

pytest.importorskip("mlflow")


@lru_cache(maxsize=1)
def _new_store() -> bytes:
    """A SQLite store with MLflow's tables and nothing in them; its fifty migrations are run once for all tests."""
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "store.db"
        MlflowClient(f"sqlite:///{file}").search_experiments()
        return file.read_bytes()


def store_uri(file: Path) -> str:
    if not file.exists():
        file.write_bytes(_new_store())
    return f"sqlite:///{file}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("flask")
    from mlflow.server import app
    from mlflow.server.handlers import initialize_backend_stores
    from werkzeug.serving import make_server

    home = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        store = store_uri(home / "store.db")
        for name, value in {
            "_MLFLOW_SERVER_FILE_STORE": store, "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true", "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(home / "artifacts"),
        }.items():  # fmt: skip
            patch.setenv(name, value)
        initialize_backend_stores(store, None, "mlflow-artifacts:/")
        http = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def read_mlflow(uri: str) -> dict[str, Seen]:
    from mlflow import MlflowClient

    client, seen = MlflowClient(uri), dict[str, Seen]()
    experiment = client.search_experiments(filter_string="name = 'reviews'")[0].experiment_id
    for run in client.search_runs([experiment]):
        history = client.get_metric_history(run.info.run_id, "accuracy")
        curve = sorted({point.step: point.value for point in history}.items())
        rate = run.data.params.get("learning_rate")
        tags = run.data.tags
        told = f"{run.info.status} {tags.get('automl.status')} {tags.get('mlflow.note.content')}"
        told += f", {tags.get('automl.job_type')}"
        system = {
            (point.step, name): point.value
            for name in run.data.metrics
            if name.startswith("system/")
            for point in client.get_metric_history(run.info.run_id, name)
        }
        seen[run.info.run_name] = Seen(curve, float(rate) if rate else None, told, system)
    return seen


class TestMlflowStore(TrackerContract):
    def make(self, directory: Path, lines: list[str]) -> Tracker:
        return MlflowTracker(store_uri(directory.with_suffix(".db")), note=lines.append)

    def read(self, directory: Path) -> dict[str, Seen]:
        return read_mlflow(store_uri(directory.with_suffix(".db")))

    def test_a_pruned_trial_is_no_failure(self, followed) -> None:  # type: ignore[no-untyped-def]
        seen, _ = followed
        assert seen["all-minilm-l6-v2/full/001"].told.startswith("FINISHED pruned")
        assert seen["all-minilm-l6-v2/full/002"].told.startswith("FAILED failed")
        assert seen["reviews"].told.startswith("FINISHED done")
        kinds = {name: one.told.rpartition(", ")[2] for name, one in seen.items()}
        assert (kinds[TRIAL], kinds[PLAYOFF]) == ("trial", "playoff")


def test_a_server_takes_a_trial_and_its_parent(server: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    lines: list[str] = []
    tracker, trial = MlflowTracker(server, note=lines.append), spec("all-minilm-l6-v2-full-000")
    tracker.start(info(tmp_path))
    tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6), row(160, 0.8)))
    tracker.close("done")
    assert lines == []
    assert read_mlflow(server)[TRIAL].curve == [(80, 0.6), (160, 0.8)]
    [child] = MlflowClient(server).search_runs(["1"], "tags.`automl.job_type` = 'trial'")
    [parent] = MlflowClient(server).search_runs(["1"], "tags.`automl.job_type` = 'benchmark'")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_a_server_that_is_gone_ends_the_tracking_with_one_line_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    lines: list[str] = []
    tracker, trial = MlflowTracker("http://127.0.0.1:9", note=lines.append), spec("x")
    tracker.start(info(tmp_path))
    tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6)))
    tracker.close("done")
    assert len(lines) == 1
    assert lines[0].startswith("MLflow tracking stopped")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"automl\[mlflow\]"):
        MlflowTracker("sqlite:///x.db")
