"""What is around a run is looked at before anything is spent, and nothing stays of the look."""

import socket
from pathlib import Path

import pytest

from automl.config import RunRequest
from automl.search import surroundings
from automl.search.surroundings import look_at_surroundings
from automl.types import Finding


def look(**options: object) -> list[Finding]:
    return look_at_surroundings(RunRequest.model_validate({"source": "a.csv", **options}))


@pytest.fixture
def dead_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
    return port


def test_a_usual_place_is_right(tmp_path: Path) -> None:
    assert look() == []
    assert look(out=str(tmp_path / "new" / "runs" / "a"), storage=str(tmp_path / "kept")) == []
    assert [path.name for path in tmp_path.iterdir()] in ([], ["kept"])


@pytest.mark.parametrize("out", ["a.csv/r", "/proc/runs/r"])
def test_a_run_folder_that_cannot_be_made_is_refused(out: str) -> None:
    Path("a.csv").touch()
    [finding] = look(out=out)
    assert finding.severity == "refuse"
    assert finding.what.startswith(str(Path(out).absolute().parents[0 if out.startswith("a") else 1]))


def test_little_room_and_memory_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "LEAST_FREE_DISK", 1 << 60)
    monkeypatch.setattr(surroundings, "LEAST_MEMORY", 1 << 60)
    found = look()
    assert [finding.severity for finding in found] == ["warn", "warn"]
    assert ["MiB free" in found[0].what, "GiB of memory" in found[1].what] == [True, True]
    assert len(look(address="10.0.0.1:6379")) == 1  # its nodes have what memory they have


def test_a_server_that_is_gone_is_named(dead_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    address = f"http://127.0.0.1:{dead_port}/x"
    mlflow, webhook = look(mlflow=address, notify=address)
    assert (mlflow.severity, mlflow.what) == (
        "refuse",
        f"no server answers at --mlflow {address}: connection refused",
    )
    assert (webhook.severity, webhook.what) == ("warn", "the webhook of --notify does not answer: connection refused")
    monkeypatch.setenv("AUTOML_NOTIFY", address)
    [webhook] = look()
    assert "AUTOML_NOTIFY" in webhook.what
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # what only a proxy reaches, this machine cannot judge
    monkeypatch.setenv("no_proxy", "")
    assert look() == []


def test_a_server_that_listens_is_right() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert look(mlflow=f"http://127.0.0.1:{server.getsockname()[1]}") == []
    assert look(mlflow="sqlite:///runs.db") == []
    assert not Path("runs.db").exists()


def test_names_that_a_service_refuses_are_refused_for_python_callers_too() -> None:
    [finding] = look(wandb="a/b:c")
    assert finding.severity == "refuse"
    assert finding.what.startswith("--wandb a/b:c holds ")


def test_a_storage_that_cannot_be_written_is_refused() -> None:
    [finding] = look(storage="/proc/kept")
    assert finding.severity == "refuse"
    assert "/proc/kept" in finding.what
