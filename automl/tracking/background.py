"""Tracking on a thread of its own, one call after the other, so that a slow network never holds up a run."""

from __future__ import annotations

import queue
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.errors import one_line
from automl.tracking.base import Insights, RunInfo, Tracker
from automl.tracking.describe import STEP, numbers
from automl.types import TrialResult, TrialSpec

Call = Callable[[], object]


class BackgroundCalls:
    """Makes calls in order. The first one that raises ends it: later calls are dropped, `error` tells why.

    `say` collects lines for the user; they are taken by the caller's thread, for terminals have one writer.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lines: deque[str] = deque()
        self.error: Exception | None = None

    def call(self, function: Call) -> None:
        if self._thread is None:
            # A daemon: a call that hangs on the network must not keep the process from ending.
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        self._queue.put(function)

    def say(self, line: str) -> None:
        self._lines.append(line)

    def take_lines(self) -> list[str]:
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        return lines

    def finish(self, seconds: float) -> bool:
        """Wait until every call is made; False where that takes longer."""
        if self._thread is None:
            return True
        self._queue.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (function := self._queue.get()) is not None:
            if self.error is not None:
                continue
            try:
                function()
            except Exception as error:
                self.error = error


class BackgroundTracker(Tracker):
    """Hands a run's events to its own thread. The first call that raises ends the tracking, with one line to `note`.

    service: its name for people. note: gets a line where something goes wrong, on the driver's thread.
    Nothing is passed on before `_begin` and after `_wind_up`.
    """

    def __init__(self, service: str, note: Callable[[str], None]) -> None:
        self._service, self._tell = service, note
        self._calls = BackgroundCalls(service)
        self._info: RunInfo | None = None
        self._failed = False
        self._resources: dict[str, list[dict[str, float]]] = {}
        self._seen: dict[str, float] = {}
        """On the thread of its own: how far each training's evaluations are logged."""

    # -- the tracker's events, on the driver's thread ------------------------------------------------------

    def trial_started(self, spec: TrialSpec) -> None:
        self._later(lambda: self._open(spec))

    def resources_reported(self, spec: TrialSpec, rows: Sequence[Mapping[str, float]]) -> None:
        self._resources[spec.id] = [dict(row) for row in rows]  # the evaluation that follows takes them along

    def trial_reported(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        rows = [*self._resources.pop(spec.id, ()), dict(row)]
        self._later(lambda: self._log(spec, rows))

    def trial_ended(self, spec: TrialSpec, result: TrialResult) -> None:
        self._resources.pop(spec.id, None)
        self._later(lambda: self._end(spec, result))

    def board(self, leaderboard: Mapping[str, Any], files: Mapping[str, Path], insights: Insights) -> None:
        board, paths = dict(leaderboard), dict(files)
        self._later(lambda: self._publish(board, paths, insights))

    def _begin(self, info: RunInfo, first: Call) -> None:
        self._info = info
        self._later(first)

    def _wind_up(self, status: str, seconds: float, late: Callable[[], str]) -> None:
        """Wait so long for what is left to send; `late` words where it takes longer."""
        if self._info is None:
            return
        self._later(lambda: self._close(status))
        done = self._calls.finish(seconds)
        self._pass_on_lines()
        if not done and not self._failed:
            self._tell(late())
        self._info = None

    def _later(self, call: Call) -> None:
        if self._info is not None:
            self._calls.call(call)
            self._pass_on_lines()

    def _pass_on_lines(self) -> None:
        for line in self._calls.take_lines():
            self._tell(line)
        if (error := self._calls.error) is not None and not self._failed:
            self._failed = True
            what = f"{self._service} tracking stopped ({one_line(error)})"
            self._tell(f"{what}; the run goes on, its records are in the run folder")

    # -- what happens there, on the thread of its own ------------------------------------------------------

    @abstractmethod
    def _open(self, spec: TrialSpec) -> object:
        """A training got a slot."""

    def _log(self, spec: TrialSpec, rows: Sequence[Mapping[str, Any]]) -> None:
        """An evaluation, the last of the rows, and what was seen of the workers on the way to it.

        A retried training tells again what is logged already.
        """
        before, now = self._seen.get(spec.id, -1), rows[-1].get(STEP)
        if not isinstance(now, int | float) or now <= before:
            return
        self._seen[spec.id] = now
        points: dict[int, dict[str, float]] = {}
        for row in rows:
            if row[STEP] > before:
                points.setdefault(int(row[STEP]), {}).update(numbers(row))
        self._write(spec, points)

    @abstractmethod
    def _write(self, spec: TrialSpec, points: Mapping[int, Mapping[str, float]]) -> None:
        """Numbers of a training by samples seen, in their order; none of them was written before."""

    @abstractmethod
    def _end(self, spec: TrialSpec, result: TrialResult) -> None:
        """A training ended."""

    @abstractmethod
    def _publish(self, board: Mapping[str, Any], files: Mapping[str, Path], insights: Insights) -> None:
        """The board is out."""

    @abstractmethod
    def _close(self, status: str) -> None:
        """The run ended."""
