"""Where a training's seconds go, and a heartbeat that survives it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from automl.types import SpendKind

BEAT_SECONDS = 1.0


class SlotClock:
    """Seconds of one slot's time by ledger kind, written to a heartbeat file about once a second.

    What an earlier attempt at the same trial had spent when it was lost is read from its heartbeat and
    carried as 'retry', so that a crash forgets nothing.
    """

    def __init__(self, heartbeat: Path | None, slots: int = 1, now: Callable[[], float] = monotonic) -> None:
        self._file, self._slots, self._now = heartbeat, slots, now
        self.spent: dict[SpendKind, float] = {"train": 0.0}
        self._kind: SpendKind = "train"
        self._since = self._beat = now()
        self._started = self._since
        self._samples_seen: int | None = None
        self.on_tick: Callable[[int], None] | None = None
        """Called at every tick with the samples seen, once there are some."""
        if heartbeat is not None:
            lost = sum(read_heartbeat(heartbeat).values())
            if lost:
                self.spent["retry"] = lost

    @contextmanager
    def charging(self, kind: SpendKind) -> Iterator[None]:
        """Time inside belongs to `kind`."""
        before = self._kind
        self.tick()
        self._kind = kind
        try:
            yield
        finally:
            self.tick()
            self._kind = before

    def tick(self, samples_seen: int | None = None) -> None:
        """Book the time since the last tick. samples_seen: how far the training is, where it went on."""
        time = self._now()
        self.spent[self._kind] = self.spent.get(self._kind, 0.0) + (time - self._since) * self._slots
        self._since = time
        if self._file is not None and time - self._beat >= BEAT_SECONDS:
            self._beat = time
            self.beat()
        if samples_seen is not None:
            self._samples_seen = samples_seen
        if self.on_tick is not None and self._samples_seen is not None:
            self.on_tick(self._samples_seen)

    def silence(self) -> None:
        """Write no heartbeat: of several workers, the first one tells."""
        self._file = None

    def resume(self) -> None:
        """Forget the time since the last tick: it was spent waiting for the driver, not on the device."""
        self._since = self._now()

    def beat(self) -> None:
        """Write the heartbeat now."""
        if self._file is None:
            return
        temporary = self._file.with_suffix(f".{os.getpid()}")
        try:
            temporary.write_text(json.dumps(self.spent))
            os.replace(temporary, self._file)
        except (
            OSError
        ):  # a full disk: a beat that is missing costs a crash some seconds of memory, a training nothing
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    @property
    def device_seconds(self) -> float:
        self.tick()
        return sum(self.spent.values())

    @property
    def wall_seconds(self) -> float:
        return self._now() - self._started


def read_heartbeat(file: Path) -> dict[SpendKind, float]:
    """Seconds by kind that a training had spent at its last heartbeat; {} where there is none."""
    try:
        spent: dict[SpendKind, float] = json.loads(file.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return spent
