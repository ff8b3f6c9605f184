"""A training that has a slot, and the record that is made of it when it is over."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from automl.types import Cost, TrialResult, TrialSpec, TrialStatus


@dataclass
class Live:
    """A training that has a slot. `told` is all that its messages said so far, the newest word winning.

    retries: how often it may still be started again; lost: how often its process has died under this driver.
    nodes: ids of those that its process may be on; blamed_on: of those that it was on when a death of its process
    came to count against it; waits_since: when it began to wait for one (time.monotonic),
    None while it has one.
    """

    spec: TrialSpec
    started_at: str
    retries: int
    lost: int = 0
    nodes: frozenset[str] = frozenset()
    blamed_on: frozenset[str] = frozenset()
    curve: list[dict[str, Any]] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    stopped: bool = False
    waits_since: float | None = field(default_factory=time.monotonic)

    def result(self, ended_at: str) -> TrialResult:
        """The line of trials.jsonl, from all that was told."""
        spec, told, curve = self.spec, self.told, self.curve
        spent: dict[str, float] = told.get("spent", {})
        status: TrialStatus = told.get("status") or ("pruned" if self.stopped else "failed")
        wall = datetime.fromisoformat(ended_at) - datetime.fromisoformat(self.started_at)
        return TrialResult(
            id=spec.id,
            kind=spec.kind,
            contender=spec.contender.name,
            status=status,
            recipe=spec.recipe,
            seed=spec.seed,
            horizon_samples=spec.horizon_samples,
            curve=tuple(curve),
            validation=curve[-1][spec.metric] if curve else None,
            cost=Cost(
                device_seconds=sum(spent.values()),
                wall_seconds=wall.total_seconds(),
                samples_seen=curve[-1]["samples_seen"] if curve else 0,
                peak_memory_bytes=told.get("peak_memory_bytes", 0),
            ),
            error=told.get("error"),
            predictions_file=told.get("predictions_file"),
            split_fingerprint=spec.split_fingerprint,
            environment=told.get("environment", {}),
            started_at=self.started_at,
            ended_at=ended_at,
            number=spec.number,
            spent=spent,
            metrics=told.get("metrics") or {},
            parameters=told.get("parameters"),
            trainable_parameters=told.get("trainable_parameters"),
            model_dir=told.get("model_dir"),
            notes=tuple(told.get("notes", ())),
            micro_batch=told.get("micro_batch"),
            fold=spec.fold,
        )
