"""A message to a webhook when a run ends, fails, or takes more than was planned. Never rows, never secrets."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from automl.errors import RequestError
from automl.tracking.background import BackgroundCalls
from automl.tracking.base import Insights, RunInfo, Tracker
from automl.types import TrialResult, TrialSpec

NOTIFY_VARIABLE = "AUTOML_NOTIFY"
SECONDS_TO_SEND_THE_REST = 15.0
_TIMEOUT_SECONDS = 10.0


class WebhookTracker(Tracker):
    """POSTs JSON whose `text` Slack shows as it is: {"text", "event", "run", "host", ...}.

    url: of the webhook; it is a secret, so no message of ours repeats it.
    note: gets one line where a message could not be sent. clock: seconds that only grow.
    """

    def __init__(
        self, url: str, note: Callable[[str], None] = lambda line: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise RequestError(
                "--notify is no address of a webhook", "https://...", f"Correct it, or {NOTIFY_VARIABLE}"
            )
        self._url, self._tell, self._clock = url, note, clock
        self._calls = BackgroundCalls("notify")
        self._info: RunInfo | None = None
        self._board: dict[str, Any] = {}
        self._began = clock()
        self._foretold: float | None = None
        self._spent: dict[str, float] = {}
        self._failed: list[str] = []
        self._ended = 0
        self._told_of_excess = False
        self._alarms: list[threading.Timer] = []
        self._lock = threading.RLock()

    def start(self, info: RunInfo) -> None:
        self._info, self._began = info, self._clock()
        if (limit := info.time_limit_seconds) is not None:
            self._set_alarm(max(0.0, limit - info.wall_seconds_before), f"its time limit of {limit:.0f} s")

    def planned(self, plan: Mapping[str, Any]) -> None:
        if any(one["error"] is not None for one in plan["contenders"]):
            return  # what could not be probed is in no sum
        self._foretold = sum(one["search_seconds"][1] + one["finals_seconds"][1] for one in plan["contenders"])
        wall = plan["wall_seconds"][1]
        self._set_alarm(wall, f"planned: at most {wall:.0f} s were foretold")

    def trial_reported(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        self._spend(spec, float(row.get("device_seconds") or 0.0))

    def trial_ended(self, spec: TrialSpec, result: TrialResult) -> None:
        self._ended += 1
        if result.status in ("failed", "out_of_memory"):
            self._failed.append(result.id)
        self._spend(spec, result.cost.device_seconds)

    def _spend(self, spec: TrialSpec, device_seconds: float) -> None:
        """Note what a training has taken by now, and tell where all have taken more than was foretold."""
        if spec.kind == "baseline":
            return  # no plan counts them
        self._spent[spec.id] = device_seconds
        spent = sum(self._spent.values()) + (self._info.device_seconds_before if self._info else 0.0)
        if self._foretold is not None and spent > self._foretold:
            self._excess(f"planned: {spent:.0f} s of device time, at most {self._foretold:.0f} s were foretold")

    def _set_alarm(self, seconds: float, than: str) -> None:
        """Tell when so many seconds have gone by. Not at the next event: a run that hangs has none."""
        alarm = threading.Timer(seconds, self._excess, (than,))
        alarm.daemon = True
        self._alarms.append(alarm)
        alarm.start()

    def _excess(self, than: str) -> None:
        with self._lock:  # an alarm has a thread of its own
            if not self._told_of_excess and self._info is not None:
                self._told_of_excess = True
                self._send("plan_exceeded", f"takes longer than {than}")

    def board(self, leaderboard: Mapping[str, Any], files: Mapping[str, Path], insights: Insights) -> None:
        rows = [
            {key: row.get(key) for key in ("rank", "contender", "status", "test_mean", "test_low", "test_high")}
            for row in leaderboard["rows"]
        ]
        keys = ("verdict", "winner", "metric", "comparable")
        self._board = {**{key: leaderboard.get(key) for key in keys}, "rows": rows}

    def close(self, status: str) -> None:
        if self._info is None:
            return
        for alarm in self._alarms:
            alarm.cancel()
        verdict = f": {self._board['verdict']}" if self._board.get("verdict") else ""
        with self._lock:
            self._told_of_excess = True  # it has ended, however late
            self._send(status, f"{'is done' if status == 'done' else status}{verdict}", **self._board)
        if not self._calls.finish(SECONDS_TO_SEND_THE_REST):
            self._tell("the webhook of --notify does not answer; the run is not concerned")
        elif (error := self._calls.error) is not None:
            self._tell(f"the webhook of --notify was not reached ({type(error).__name__}); the run is not concerned")
        self._info = None

    def _send(self, event: str, what: str, **more: Any) -> None:
        assert self._info is not None
        name = self._info.name
        message = {
            "text": f"automl run {name} {what}",
            "event": event,
            "run": name,
            "host": socket.gethostname(),
            "wall_seconds": round(self._clock() - self._began, 1),
            "trainings_ended": self._ended,
            "trainings_failed": list(self._failed),
            **more,
        }
        data = json.dumps(message, allow_nan=False).encode()
        self._calls.call(lambda: _post(self._url, data))


def _post(url: str, data: bytes) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "automl"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=_TIMEOUT_SECONDS):
        pass
