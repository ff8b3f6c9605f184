"""Mistakes that are told before, or as, a cluster is asked."""

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from automl.cli import main
from automl.errors import ClusterError
from automl.jobs.cluster import find_address, find_token
from automl.jobs.remote import home_of
from automl.jobs.remote import main as remote


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("RAY_A")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(params=[401, 403, 404, 500])
def refusing(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    """(code, address) of a server that answers everything with one code."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param)
            self.end_headers()
            self.wfile.write(b"no")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield request.param, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("command", ["status", "logs", "stop", "fetch"])
def test_where_no_head_listens_the_message_names_the_tunnel(
    command: str, nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "job-1", "--address", nobody]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"automl: no Ray head answers at {nobody}; the dashboard of a running head. Start it")
    assert "Traceback" not in told


def test_a_refusal_says_whether_this_machine_has_a_token(
    refusing: tuple[int, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, address = refusing
    said = {401: "wants a token, and this machine has none", 403: "wants a token", 404: "answered", 500: "answered"}
    assert main(["status", "job-1", "--address", address]) == 2
    assert said[code] in capsys.readouterr().err
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a-secret")
    assert main(["status", "job-1", "--address", address]) == 2
    told = capsys.readouterr().err
    assert "a-secret" not in told
    if code in (401, 403):
        assert "this machine's token is another one" in told


@pytest.mark.parametrize(
    "address", ["auto", "ray://host:10001", "host:8265", "http://", "http://me:pw@host:8265", "http://host:99999999"]
)
def test_an_address_that_is_no_dashboard_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(ClusterError, match="the dashboard of a Ray head") as refused:
        find_address(address)
    assert "me:pw" not in str(refused.value)


def test_the_address_comes_from_the_option_the_environment_or_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_address(None) == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://head:1/")
    assert find_address(None) == "http://head:1"
    assert find_address("https://other") == "https://other"


def test_a_token_is_found_where_ray_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_token() is None
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(ClusterError, match="holds no token"):
        find_token()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("of-home\n", encoding="utf-8")
    assert find_token() == "of-home"
    (tmp_path / "named").write_text("of-file", encoding="utf-8")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "named"))
    assert find_token() == "of-file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-variable")
    assert find_token() == "of-variable"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert find_token() is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("submit", "'source' is missing"),
        ("submit a.csv --trails 3", "Did you mean --trials?"),
        ("submit a/b --out ../elsewhere", "leads out of the job's folder"),
        ("submit a/b --resume job-1", "--resume goes with no other option of a run (DATA)"),
        ("submit --resume job-1 --trials 3", "(--trials)"),
        ("submit a/b --address host:6379", "automl run --address"),
        ("fetch", "JOB"),
    ],
)
def test_a_mistake_is_told_before_the_cluster_is_asked(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("job", ["../up", "/etc", ".hidden", "a b", "a;b", ""])
def test_a_jobs_name_is_no_path(job: str) -> None:
    with pytest.raises(ClusterError, match="is no name of a job"):
        home_of(job)


def test_on_the_head_a_job_that_never_began_is_told_in_three_parts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTOML_JOBS", str(tmp_path))
    assert remote(["offer", "job-1", "job-1-fetch"]) == 2
    assert remote(["resume", "job-1"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert all(line.startswith(f"automl: {tmp_path}/job-1 does not exist on the head;") for line in told)
