"""TensorBoard: event files, a folder a training; `tensorboard --logdir RUN/tensorboard` shows them."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from automl.errors import MissingExtra
from automl.tracking.background import BackgroundTracker
from automl.tracking.base import Insights, RunInfo
from automl.tracking.describe import benchmark_config, ending, numbers, readable_name, summary, training_config
from automl.types import TrialResult, TrialSpec

SECONDS_TO_WRITE_THE_REST = 30.0


class EventFile:
    """One folder's event file, written where it is called: what finds no room on the disk raises here.

    tensorboardX's SummaryWriter has a thread that dies of a full disk; ten events later its caller waits for ever.
    """

    def __init__(self, directory: Path) -> None:
        from tensorboardX.event_file_writer import EventsWriter

        directory.mkdir(parents=True, exist_ok=True)
        # named by the second otherwise: a run that goes on at once would write over its first half
        self._writer = EventsWriter(str(directory / "events"), f".{secrets.token_hex(4)}")

    def add(self, *summaries: Any, step: int = 0) -> None:
        from tensorboardX.proto.event_pb2 import Event

        for one in summaries:
            self._writer.write_event(Event(wall_time=time.time(), step=step, summary=one))

    def scalars(self, values: Mapping[str, float], step: int = 0) -> None:
        from tensorboardX.summary import scalar

        self.add(*(scalar(name, value) for name, value in values.items()), step=step)

    def text(self, name: str, value: str) -> None:
        from tensorboardX.summary import text

        self.add(text(name, value))

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class TensorBoardTracker(BackgroundTracker):
    """Writes event files below RUN/tensorboard; they stay on this machine, so an error is told whole."""

    def __init__(self, note: Callable[[str], None] = lambda line: None) -> None:
        if find_spec("tensorboardX") is None:
            raise MissingExtra.of("tensorboardX", "tensorboard", "--tensorboard")
        super().__init__("TensorBoard", note)
        self._files: dict[str, EventFile] = {}

    # -- the tracker's events, on the driver's thread ------------------------------------------------------

    def start(self, info: RunInfo) -> None:
        self._begin(info, lambda: self._file("benchmark").text("config", _as_text(benchmark_config(info))))

    def close(self, status: str) -> None:
        late = "TensorBoard's files are not written in time; the run's records are in its folder"
        self._wind_up(status, SECONDS_TO_WRITE_THE_REST, lambda: late)

    # -- what is written, on the thread of its own ---------------------------------------------------------

    def _open(self, spec: TrialSpec) -> None:
        self._file(readable_name(spec))

    def _write(self, spec: TrialSpec, points: Mapping[int, Mapping[str, float]]) -> None:
        file = self._file(readable_name(spec))
        for samples, values in points.items():
            file.scalars(values, samples)
        file.flush()

    def _end(self, spec: TrialSpec, result: TrialResult) -> None:
        assert self._info is not None
        for row in result.curve:
            self._log(spec, [row])
        name = readable_name(spec)
        file = self._file(name)
        file.text("config", _as_text(training_config(spec, self._info)))
        file.text("status", f"{result.status}: {ending(result, whole=True)}")
        _add_hyperparameters(file, spec, summary(spec, result, self._info.higher_is_better))
        self._files.pop(name).close()
        self._seen.pop(spec.id, None)

    def _publish(self, board: Mapping[str, Any], files: Mapping[str, Path], insights: Insights) -> None:
        file = self._file("benchmark")
        if table := files.get("leaderboard"):
            file.text("leaderboard", table.read_text(encoding="utf-8"))
        file.text("verdict", str(board.get("verdict") or ""))
        file.scalars(numbers({f"test/{row['contender']}": row.get("test_mean") for row in board["rows"]}))

    def _close(self, status: str) -> None:
        self._file("benchmark").text("status", status)
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _file(self, name: str) -> EventFile:
        assert self._info is not None
        if name not in self._files:
            self._files[name] = EventFile(self._info.run_directory / "tensorboard" / name)
        return self._files[name]


def _as_text(values: Mapping[str, Any]) -> str:
    """JSON as Markdown shows it."""
    return "\n".join(f"    {line}" for line in json.dumps(values, indent=2, default=str).splitlines())


def _add_hyperparameters(file: EventFile, spec: TrialSpec, results: Mapping[str, float]) -> None:
    """The recipe and the results for TensorBoard's table of hyperparameters, in the training's own folder."""
    from tensorboardX.summary import hparams

    recipe = {key: value for key, value in spec.recipe.items() if isinstance(value, int | float | str | bool)}
    told = {f"result/{key}": value for key, value in results.items()}
    file.add(*hparams(recipe, told))
    file.scalars(told)
