"""Calls made one after the other on a thread of their own, so that a slow network never holds up a run."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable

Call = Callable[[], None]


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
