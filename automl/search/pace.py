"""What a whole training of one contender costs, from all that was seen of it so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl.types import TrialResult


class Pace:
    """Device-seconds and wall seconds of one contender's trainings; 0 while nothing is known.

    What a probe foretold holds until a training tells better.
    """

    def __init__(self, horizon_samples: int) -> None:
        self._horizon = horizon_samples
        self._foretold, self._workers = 0.0, 1
        self._whole: list[float] = []
        self._cut: list[float] = []
        self._running: dict[str, tuple[float, float]] = {}
        self._until_next: dict[str, float] = {}
        self._longest_wait = 0.0
        self._device, self._wall = 0.0, 0.0

    def expect(self, device_seconds: float, workers: int) -> None:
        """Take a whole training to cost so much, on so many workers, until one has reported."""
        self._foretold, self._workers = device_seconds, workers

    def report(self, training: str, row: Mapping[str, Any]) -> None:
        """An evaluation of a running training, which tells what it has spent so far."""
        spent = float(row.get("device_seconds") or 0.0)
        wait = spent - self._running.get(training, (0.0, 0.0))[0]
        self._longest_wait = max(self._longest_wait, wait)
        self._until_next[training] = wait if row["samples_seen"] < self._horizon else 0.0
        self._running[training] = (spent, self._extrapolated(spent, row["samples_seen"]))

    def end(self, result: TrialResult) -> None:
        self._running.pop(result.id, None)
        self._until_next.pop(result.id, None)
        spent, samples = result.cost.device_seconds, result.cost.samples_seen
        if result.status == "completed":
            self._whole.append(spent)
            self._device += spent
            self._wall += result.cost.wall_seconds
        elif result.status == "pruned":
            self._cut.append(self._extrapolated(spent, samples))

    def _extrapolated(self, spent: float, samples: float) -> float:
        return spent * self._horizon / samples if samples else 0.0

    @property
    def whole_seconds(self) -> float:
        """Device-seconds of a training to its end; until one has ended, as the others so far let expect."""
        if self._whole:
            return sum(self._whole) / len(self._whole)
        expected = [seconds for seconds in [*self._cut, *(whole for _, whole in self._running.values())] if seconds]
        return sum(expected) / len(expected) if expected else self._foretold

    @property
    def longest_wall_seconds(self) -> float:
        """Wall seconds of the longest training to its end: a winner's recipe may be the slowest of all.

        Over several workers a training has more device-seconds than wall seconds.
        """
        longest = max(self._whole, default=self.whole_seconds)
        return longest * (self._wall / self._device if self._device and self._wall else 1 / self._workers)

    @property
    def running_seconds(self) -> float:
        """Device-seconds that running trainings have told of: they are spent, though not in the ledger yet."""
        return sum(spent for spent, _ in self._running.values())

    def until_next(self, training: str) -> float:
        """Device-seconds that a running training may spend from what it last told of to what it tells of next."""
        return self._until_next.get(training, self._longest_wait)

    def still_needed(self, training: str) -> float:
        """Device-seconds that a running training will take to its end."""
        return max(0.0, self.whole_seconds - self._running.get(training, (0.0, 0.0))[0])
