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
from tests.tracking.followed import BOARD, follow_a_run, info, result, row, spec, wait_until


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
    assert (message["event"], message["trainings_ended"]) == ("done", 6)
    assert message["trainings_failed"] == ["all-minilm-l6-v2-full-002"]
    assert message["rows"][0]["test_mean"] == 0.9
    assert not {"SECRET", "secret row", "bang"} & set(json.dumps(message).replace('"', " ").split())


PLAN = {
    "contenders": [{"error": None, "search_seconds": [2.0, 5.0], "finals_seconds": [1.0, 1.5]}],
    "wall_seconds": [10.0, 9_000.0],
}


def test_a_run_that_takes_more_device_time_than_was_foretold_is_told_once(webhook, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    url, taken = webhook
    tracker, trials = WebhookTracker(url), [spec(f"x-{number}", number=number) for number in range(3)]
    tracker.start(info(tmp_path))
    tracker.planned(PLAN)
    for trial in trials[:2]:
        tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6)))  # 3 s each
    tracker.trial_ended(spec("y", kind="baseline"), result(spec("y", kind="baseline"), "completed"))
    assert taken == [], "6 s of 6.5 s; baselines are in no plan"
    for seconds in (0.4, 0.6, 0.8):
        tracker.trial_reported(trials[2], row(80, 0.6) | {"device_seconds": seconds})
    tracker.close("failed")
    assert [message["event"] for message in taken] == ["plan_exceeded", "failed"]
    assert "takes longer than planned: 7 s of device time, at most 6 s were foretold" in taken[0]["text"]


def test_a_resumed_run_counts_what_earlier_drivers_took(webhook, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    url, taken = webhook
    tracker, trial = WebhookTracker(url), spec("x")
    tracker.start(dataclasses.replace(info(tmp_path), device_seconds_before=6.0))
    tracker.planned(PLAN)
    tracker.trial_ended(trial, result(trial, "completed", row(80, 0.6)))
    tracker.close("done")
    assert [message["event"] for message in taken] == ["plan_exceeded", "done"]


@pytest.mark.parametrize("late", ["time limit", "plan"])
def test_a_run_that_hangs_is_told_to_be_late_without_any_event(late: str, webhook, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    url, taken = webhook
    tracker = WebhookTracker(url)
    limit = {"time_limit_seconds": 60.0, "wall_seconds_before": 59.99} if late == "time limit" else {}
    tracker.start(dataclasses.replace(info(tmp_path), **limit))  # type: ignore[arg-type]
    if late == "plan":
        tracker.planned(PLAN | {"wall_seconds": [0.0, 0.01]})
    wait_until(lambda: bool(taken))
    tracker.close("interrupted")
    assert [message["event"] for message in taken] == ["plan_exceeded", "interrupted"]
    assert f"takes longer than {'its time limit of 60 s' if late == 'time limit' else 'planned'}" in taken[0]["text"]


def test_a_run_that_keeps_to_its_plan_is_told_nothing_but_its_end(webhook, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    url, taken = webhook
    tracker = WebhookTracker(url)
    tracker.start(dataclasses.replace(info(tmp_path), time_limit_seconds=60.0))
    tracker.planned(PLAN)
    tracker.close("done")
    assert [message["event"] for message in taken] == ["done"]


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
    with pytest.raises(RequestError, match="no address such as"):
        make_request({"source": "a.csv", "notify": "ftp://x"})
    monkeypatch.setenv("AUTOML_NOTIFY", "ftp://x")
    with pytest.raises(RequestError, match="no address of a webhook"):
        trackers_of(make_request({"source": "a.csv"}), print)
    with pytest.raises(RequestError, match="holds a password"):
        make_request({"source": "a.csv", "mlflow": "https://me:secret@host/"})
