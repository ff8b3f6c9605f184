"""TensorBoard: event files, a folder a training; `tensorboard --logdir RUN/tensorboard` shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from automl.errors import MissingExtra
from automl.tracking.base import Insights, RunInfo, Tracker
from automl.tracking.describe import STEP, benchmark_config, ending, numbers, readable_name, summary, training_config
from automl.types import TrialResult, TrialSpec


class TensorBoardTracker(Tracker):
    """Writes event files below RUN/tensorboard; they stay on this machine, so an error is told whole."""

    def __init__(self) -> None:
        if find_spec("tensorboardX") is None:
            raise MissingExtra.of("tensorboardX", "tensorboard", "--tensorboard")
        self._info: RunInfo | None = None
        self._writers: dict[str, Any] = {}
        self._seen: dict[str, float] = {}

    def start(self, info: RunInfo) -> None:
        self._info = info
        self._writer("benchmark").add_text("config", _as_text(benchmark_config(info)), 0)

    def trial_started(self, spec: TrialSpec) -> None:
        self._writer(readable_name(spec))

    def trial_reported(self, spec: TrialSpec, row: Mapping[str, Any]) -> None:
        samples = row.get(STEP)
        if not isinstance(samples, int | float) or samples <= self._seen.get(spec.id, -1):
            return  # a retried training tells again what is written already
        self._seen[spec.id] = samples
        writer = self._writer(readable_name(spec))
        for name, value in numbers(row).items():
            writer.add_scalar(name, value, int(samples))
        writer.flush()

    def trial_ended(self, spec: TrialSpec, result: TrialResult) -> None:
        if self._info is None:
            return
        for row in result.curve:
            self.trial_reported(spec, row)
        name = readable_name(spec)
        writer = self._writer(name)
        writer.add_text("config", _as_text(training_config(spec, self._info)), 0)
        writer.add_text("status", f"{result.status}: {ending(result, whole=True)}", 0)
        _add_hyperparameters(writer, spec, summary(spec, result, self._info.higher_is_better))
        self._writers.pop(name).close()
        self._seen.pop(spec.id, None)

    def board(self, leaderboard: Mapping[str, Any], files: Mapping[str, Path], insights: Insights) -> None:
        writer = self._writer("benchmark")
        if table := files.get("leaderboard"):
            writer.add_text("leaderboard", table.read_text(encoding="utf-8"), 0)
        writer.add_text("verdict", str(leaderboard.get("verdict") or ""), 0)
        scores = {f"test/{row['contender']}": row.get("test_mean") for row in leaderboard["rows"]}
        for key, value in numbers(scores).items():
            writer.add_scalar(key, value, 0)

    def close(self, status: str) -> None:
        if self._info is not None:
            self._writer("benchmark").add_text("status", status, 0)
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        self._info = None

    def _writer(self, name: str) -> Any:
        from tensorboardX import SummaryWriter

        assert self._info is not None
        if name not in self._writers:
            directory = self._info.run_directory / "tensorboard" / name
            self._writers[name] = SummaryWriter(str(directory), write_to_disk=True)
        return self._writers[name]


def _as_text(values: Mapping[str, Any]) -> str:
    """JSON as Markdown shows it."""
    return "\n".join(f"    {line}" for line in json.dumps(values, indent=2, default=str).splitlines())


def _add_hyperparameters(writer: Any, spec: TrialSpec, results: Mapping[str, float]) -> None:
    """The recipe and the results for TensorBoard's table of hyperparameters, in the training's own folder."""
    from tensorboardX.summary import hparams

    recipe = {key: value for key, value in spec.recipe.items() if isinstance(value, int | float | str | bool)}
    for one in hparams(recipe, {f"result/{key}": value for key, value in results.items()}):
        writer.file_writer.add_summary(one)
    for key, value in results.items():
        writer.add_scalar(f"result/{key}", value, 0)
