"""Where a run stands beyond its records: its phase, and the rungs that trainings which still run have reached."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from automl.leaderboard.store import RunFolder, now
from automl.tracking.base import RunInfo, Tracker
from automl.types import TrialResult, TrialSpec


@dataclass(frozen=True, kw_only=True)
class Whereabouts:
    """The driver's last word. phase: '' where none is known; since: when it began, ISO 8601.

    reached: by training that has not ended, the rungs that it has reached, in samples.
    """

    phase: str = ""
    since: str = ""
    reached: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def read_whereabouts(folder: RunFolder) -> Whereabouts:
    """What the driver wrote last; an empty one where there is nothing that can be read."""
    try:
        told = json.loads(folder.whereabouts_file.read_text(encoding="utf-8"))
        reached = {id: tuple(rungs) for id, rungs in told["reached"].items()}
        return Whereabouts(phase=told["phase"], since=told["since"], reached=reached)
    except (OSError, ValueError, KeyError):  # an older run, or logs that were deleted
        return Whereabouts()


class WhereaboutsFile(Tracker):
    """Keeps a run's whereabouts in a file of its logs, for whoever watches the run from its folder."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._phase, self._since = "", ""
        self._reached: dict[str, tuple[int, ...]] = {}

    def start(self, info: RunInfo) -> None:
        ended = {result.id for result in self._folder.trials()}
        # a training that goes on from its checkpoint does not report again what it had reached
        before = read_whereabouts(self._folder).reached
        self._reached = {id: rungs for id, rungs in before.items() if id not in ended}

    def phase(self, name: str) -> None:
        self._phase, self._since = name, now()
        self._write()

    def trial_reported(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        known = self._reached.get(spec.id, ())
        if (rung := row.get("rung")) is not None and rung not in known:
            self._reached[spec.id] = (*known, rung)
            self._write()

    def trial_ended(self, spec: TrialSpec, result: TrialResult) -> None:
        if self._reached.pop(spec.id, None) is not None:
            self._write()

    def _write(self) -> None:
        """Whole or not at all. What finds no room is told again at the next change; no run depends on it."""
        told = {"phase": self._phase, "since": self._since, "reached": self._reached}
        file = self._folder.whereabouts_file
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        with suppress(OSError):
            try:
                temporary.write_text(json.dumps(told), encoding="utf-8")
                temporary.replace(file)
            finally:
                temporary.unlink(missing_ok=True)
