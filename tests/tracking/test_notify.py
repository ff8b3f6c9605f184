"""Messages to a real webhook on this machine."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from automl.config import make_request
from automl.errors import RequestError
from automl.tracking.named import trackers_of
from automl.tracking.notify import WebhookTracker
from tests.tracking.followed import BOARD, follow_a_run, info, result, row, spec


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing."""

        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/refuses" else 200)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/services/SECRET", taken
    server.shutdown()
    server.server_close()


def test_the_end_is_told_in_a_sentence_that_slack_shows_without_rows_or_secrets(webhook, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    url, taken = webhook
    follow_a_run(tmp_path, WebhookTracker(url))
    [message] = taken
    assert message["text"] == f"automl run reviews is done: {BOARD['verdict']}"
    assert (message["event"], message["trainings_ended"]) == ("done", 5)
    assert message["trainings_failed"] == ["all-minilm-l6-v2-full-002"]
    assert message["rows"][0]["test_mean"] == 0.9
    assert not {"SECRET", "secret row", "bang"} & set(json.dumps(message).replace('"', " ").split())


def test_a_run_that_fails_or_takes_too_long_is_told(webhook, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    url, taken = webhook
    seconds = iter(range(0, 10_000, 40))
    tracker = WebhookTracker(url, clock=lambda: float(next(seconds)))
    tracker.start(dataclasses.replace(info(tmp_path), time_limit_seconds=60.0))
    for number in range(3):
        trial = spec(f"x-{number}", number=number)
        tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6)))
    tracker.close("failed")
    assert [message["event"] for message in taken] == ["plan_exceeded", "failed"]
    assert "longer than its time limit of 60 s" in taken[0]["text"]


@pytest.mark.parametrize("path", ["refuses", "gone"])
def test_a_webhook_that_fails_ends_no_run_and_is_told_without_its_address(path: str, webhook, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    url, _ = webhook
    url = url.replace("services/SECRET", "refuses") if path == "refuses" else "http://127.0.0.1:9/SECRET"
    lines: list[str] = []
    follow_a_run(tmp_path, WebhookTracker(url, note=lines.append))
    [line] = lines
    assert "was not reached" in line
    assert "127.0.0.1" not in line


def test_the_address_is_kept_in_no_file_and_given_to_no_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    request = make_request({"source": "a.csv", "notify": "https://hooks.example/SECRET"})
    assert "SECRET" not in request.to_yaml()
    assert [type(one) for one in trackers_of(request, print)] == [WebhookTracker]
    monkeypatch.setenv("AUTOML_NOTIFY", "https://hooks.example/SECRET")
    assert [type(one) for one in trackers_of(make_request({"source": "a.csv"}), print)] == [WebhookTracker]
    with pytest.raises(RequestError, match="no address of a webhook"):
        make_request({"source": "a.csv", "notify": "ftp://x"})
    with pytest.raises(RequestError, match="holds a password"):
        make_request({"source": "a.csv", "mlflow": "https://me:secret@host/"})
