"""A run and its baselines as trackers hear of them, from its folder alone: while it goes on, and afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.config import RunRequest
from automl.leaderboard.insights import data_facts
from automl.leaderboard.store import RunFolder, read_lines
from automl.tracking.base import RunInfo
from automl.types import Budget, Contender, Schema, TrialSpec, slug


def run_info(folder: RunFolder, request: RunRequest, contest: Mapping[str, Any]) -> RunInfo:
    """What trackers are told when a search starts; the same whenever it is asked for."""
    return RunInfo(
        name=contest["name"],
        run_directory=folder.path,
        request=request.model_dump(mode="json"),
        task=contest["task"],
        metric=contest["metric"],
        higher_is_better=contest["higher_is_better"],
        contenders=tuple(Contender.from_json(value) for value in contest["contenders"]),
        budget=Budget.from_json(contest["budget"]),
        seeds=tuple(contest["seeds"]),
        counts=contest["counts"],
        split_fingerprint=contest["split_fingerprint"],
        time_limit_seconds=request.time_limit,
        folds=(contest.get("folds") or {}).get("count"),
        wall_seconds_before=sum(folder.timings().values()),
        device_seconds_before=sum(trial.cost.device_seconds for trial in folder.trials()),
        environment=folder.environment(),
        data=data_facts(folder, contest),
        fingerprint=_fingerprint(folder),
    )


def _fingerprint(folder: RunFolder) -> str:
    """What tells this run from every other, also from one of its name and data; '' where it has not begun."""
    first = next(read_lines(folder.timings_file), None)  # tells the time to the millisecond, and is chained
    return hashlib.sha256(repr(first).encode()).hexdigest()[:8] if first is not None else ""


def baseline_spec(contest: Mapping[str, Any], name: str, contender: Contender, data: Path, run: Path) -> TrialSpec:
    """A baseline as a training. contender: whose checkpoint it uses, or any."""
    row = Contender(name=name, checkpoint=contender.checkpoint, family=contender.family, adaptation="baseline")
    return TrialSpec(
        id=f"baseline-{slug(name)}", kind="baseline", contender=row, recipe={}, seed=contest["trial_seed"],
        horizon_samples=contest["horizon_samples"], rungs=(), split_fingerprint=contest["split_fingerprint"],
        data_directory=str(data), run_directory=str(run), task=contest["task"], metric=contest["metric"],
        schema=Schema.from_json(contest["schema"]),
    )  # fmt: skip
