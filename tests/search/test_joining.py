"""Which cluster is meant, and that one which is gone is noticed within seconds, before anything is made."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from automl.cli import main
from automl.errors import ClusterError, RequestError
from automl.search import joining
from automl.search.joining import Named, named_cluster, reach_cluster, refuse_others, telling_no_cluster, why_no_ray

SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@contextmanager
def listening(*answer: bytes, host: str = "127.0.0.1") -> Iterator[int]:
    """A port at which somebody answers a line with these bytes, or takes it and says nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                lines.append(line)
                for part in answer:
                    line.sendall(part)

        lines: list[socket.socket] = []
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        for line in lines:
            line.close()


@pytest.fixture
def dead_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("option", "variable", "meant"),
    [
        (None, None, None),
        (None, "", None),
        (None, "  ", None),
        (None, "local", None),
        ("local", "10.0.0.1:6379", None),
        (None, "10.0.0.1:6379", ("10.0.0.1:6379", "RAY_ADDRESS")),
        ("", "10.0.0.1:6379", ("10.0.0.1:6379", "RAY_ADDRESS")),
        ("10.0.0.2:6379", "10.0.0.1:6379", ("10.0.0.2:6379", "--address")),
        ("auto", "10.0.0.1:6379", ("10.0.0.1:6379", "RAY_ADDRESS")),
        ("auto", None, ("auto", "--address")),
        (None, "auto", ("auto", "RAY_ADDRESS")),
    ],
)
def test_the_option_goes_before_the_variable_and_auto_follows_it(
    option: str | None, variable: str | None, meant: tuple[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    found = named_cluster(option)
    assert (found and (found.address, found.by)) == meant


def test_what_does_not_speak_as_ray_does_is_named(dead_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_LINE_SECONDS", 0.2)
    assert why_no_ray("127.0.0.1", dead_port) == "connection refused"
    assert why_no_ray("no-such-host.invalid", 6379) == "no machine is called no-such-host.invalid"
    assert why_no_ray("a" * 70 + ".invalid", 6379) is not None
    with listening() as silent:
        assert why_no_ray("127.0.0.1", silent) == "no answer within 0 s"
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as web:
        assert why_no_ray("127.0.0.1", web) == "what listens there is no Ray"
    with listening(SETTINGS[:2], SETTINGS[2:]) as grpc:
        assert why_no_ray("127.0.0.1", grpc) is None


def test_a_name_whose_look_up_takes_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "KNOCK_SECONDS", 0.05)
    forever = threading.Event()
    monkeypatch.setattr(joining, "_knock", lambda host, port: forever.wait(30))
    assert why_no_ray("head", 6379) == "no answer within 0 s"
    forever.set()


@pytest.mark.parametrize(
    "address", ["head", "10.0.0.1", "head:", ":6379", "head:ray", "head:0", "head:70000", "a/b:6379"]
)
def test_what_is_no_address_is_refused_as_it_stands(address: str) -> None:
    with pytest.raises(RequestError, match="is no address of a cluster; auto, HOST:PORT"):
        reach_cluster(address)


def test_addresses_of_other_doors_are_refused_with_what_to_do_instead() -> None:
    for address in ("ray://head:10001", "http://head:8265", "https://head"):
        with pytest.raises(RequestError, match="automl submit") as refused:
            refuse_others(Named(address=address, by="RAY_ADDRESS"))
        assert str(refused.value).startswith(f"RAY_ADDRESS {address} is an address of ")
    refuse_others(Named(address="auto", by="--address"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_cluster_that_is_gone_is_refused_with_what_names_it(
    host: str, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"{host}:{dead_port}")
    with pytest.raises(RequestError) as refused:
        reach_cluster(None)
    said = str(refused.value)
    assert said.startswith(f"no Ray cluster can be joined at RAY_ADDRESS {host}:{dead_port}: ")
    assert said.endswith("Unset RAY_ADDRESS, or give --address local, for a Ray on this machine alone")


def test_auto_takes_no_address_that_a_cluster_left_behind(dead_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    Path("ray").mkdir()
    Path("ray/ray_current_cluster").write_text(f"127.0.0.1:{dead_port}")
    monkeypatch.setenv("RAY_TMPDIR", str(Path.cwd()))
    monkeypatch.setattr(services, "find_gcs_addresses", set)  # other tests' Rays run on this machine
    with pytest.raises(RequestError, match="joined at --address auto: connection refused"):
        reach_cluster("auto")
    Path("ray/ray_current_cluster").unlink()
    with pytest.raises(RequestError, match="joined at --address auto: Could not find any running Ray instance"):
        reach_cluster("auto")


def test_what_ray_says_itself_is_told_in_one_sentence() -> None:
    head = Named(address="head:6379", by="--address")
    with pytest.raises(
        RequestError, match=r"joined at --address head:6379: no answer; the address of a running cluster"
    ):
        with telling_no_cluster(head):
            raise ConnectionError("no\nanswer")
    with pytest.raises(ConnectionError), telling_no_cluster(None):
        raise ConnectionError("of a session of our own: a defect")


class Page(BaseHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_command_on_a_cluster_that_is_gone_ends_at_once_and_leaves_nothing(
    command: str, dead_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{dead_port}")
    Path("a.csv").write_text("text,label\n")
    monkeypatch.setattr("ray.init", lambda **options: pytest.fail("Ray would wait there for minutes"))
    assert main([command, "a.csv"]) == 2
    assert f"RAY_ADDRESS 127.0.0.1:{dead_port}: connection refused" in capsys.readouterr().err
    assert [path.name for path in Path.cwd().iterdir()] == ["a.csv"]


def test_a_web_server_is_no_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert main(["run", "a.csv", "--address", f"127.0.0.1:{server.server_port}"]) == 2
    finally:
        server.shutdown()
        server.server_close()
    assert "what listens there is no Ray" in capsys.readouterr().err


def test_a_connection_that_the_callers_program_has_made_is_taken_as_it_is(
    dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    assert sys.modules["ray"] is ray
    assert reach_cluster(f"127.0.0.1:{dead_port}") is None


def test_a_ray_that_does_not_start_in_time_is_the_machines_matter_and_other_failures_stay_ours() -> None:
    with pytest.raises(ClusterError, match="did not start on this machine") as told, telling_no_cluster(None):
        raise Exception("The current node timed out during startup. This could happen because ...")
    assert "what was finished is kept" in told.value.todo
    with pytest.raises(RuntimeError, match="something else"), telling_no_cluster(None):
        raise RuntimeError("something else")
