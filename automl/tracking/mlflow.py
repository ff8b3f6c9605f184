"""MLflow: one run per training below one for the benchmark, sent by a thread of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from automl.errors import MissingExtra
from automl.tracking.background import BackgroundTracker
from automl.tracking.base import Insights, RunInfo
from automl.tracking.describe import (
    benchmark_config,
    benchmark_token,
    ending,
    job_type,
    may_leave,
    numbers,
    readable_name,
    run_id,
    summary,
    training_config,
)
from automl.types import TrialResult, TrialSpec

SECONDS_TO_SEND_THE_REST = 120.0
_ID = "automl.id"
_LONGEST_VALUE, _MOST_PARAMETERS, _MOST_NUMBERS = 500, 100, 1000  # what every version of the server takes at once


class MlflowTracker(BackgroundTracker):
    """Follows a run in MLflow; an experiment a run folder's name. The first call that fails ends the tracking.

    uri: http(s)://, sqlite:/// or a folder. share_examples: whether rows may leave this machine.
    """

    def __init__(
        self, uri: str, share_examples: bool = False, note: Callable[[str], None] = lambda line: None
    ) -> None:
        if find_spec("mlflow") is None:
            raise MissingExtra.of("mlflow", "mlflow", "--mlflow")
        super().__init__("MLflow", note)
        self._uri, self._share_examples = uri, share_examples
        self._client: Any = None
        self._experiment = self._token = ""
        self._runs: dict[str, str] = {}

    # -- the tracker's events, on the driver's thread ------------------------------------------------------

    def start(self, info: RunInfo) -> None:
        self._token = benchmark_token(info.run_directory / "mlflow", info.name, info.fingerprint)
        self._begin(info, lambda: self._connect(info))

    def close(self, status: str) -> None:
        late = "MLflow has not taken everything in time; the run's records are in its folder"
        self._wind_up(status, SECONDS_TO_SEND_THE_REST, lambda: late)

    # -- what happens in MLflow, on the thread of its own --------------------------------------------------

    def _connect(self, info: RunInfo) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient

        self._client = MlflowClient(self._uri)
        found = self._client.get_experiment_by_name(info.name)
        if found is not None:
            self._experiment = found.experiment_id
        else:
            # A server keeps artifacts itself; without one they belong to the run, not to wherever it was started.
            remote = self._uri.startswith("http")
            place = None if remote else (info.run_directory.resolve() / "mlflow" / "artifacts").as_uri()
            self._experiment = self._client.create_experiment(info.name, artifact_location=place)
        tags = {"automl.job_type": "benchmark", "automl.task": info.task}
        self._runs[""] = self._run("", info.name, tags, benchmark_config(info))

    def _open(self, spec: TrialSpec) -> str:
        if spec.id not in self._runs:
            assert self._info is not None
            tags = {
                "mlflow.parentRunId": self._runs[""],
                "automl.job_type": job_type(spec),
                "automl.task": spec.task,
                "automl.contender": spec.contender.name,
                "automl.adaptation": spec.contender.adaptation,
            }
            self._runs[spec.id] = self._run(spec.id, readable_name(spec), tags, training_config(spec, self._info))
        return self._runs[spec.id]

    def _run(self, id: str, name: str, tags: Mapping[str, str], config: Mapping[str, Any]) -> str:
        """The id of the run in MLflow; one that a resumed benchmark has begun before goes on."""
        own = run_id(self._token, id)
        found = self._client.search_runs([self._experiment], f"tags.`{_ID}` = '{own}'", max_results=1)
        if found:
            known = str(found[0].info.run_id)
            self._client.set_terminated(known, "RUNNING")
            return known
        made = str(self._client.create_run(self._experiment, run_name=name, tags={**tags, _ID: own}).info.run_id)
        from mlflow.entities import Param

        params = [Param(key, str(value)[:_LONGEST_VALUE]) for key, value in _flat(config)]
        for first in range(0, len(params), _MOST_PARAMETERS):
            self._client.log_batch(made, params=params[first : first + _MOST_PARAMETERS])
        return made

    def _write(self, spec: TrialSpec, points: Mapping[int, Mapping[str, float]]) -> None:
        self._log_numbers(self._open(spec), points)

    def _log_numbers(self, run: str, points: Mapping[int, Mapping[str, float]]) -> None:
        """Numbers by step, in one request as far as a server takes them."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        told = [Metric(key, float(x), now, step) for step, values in points.items() for key, x in values.items()]
        for first in range(0, len(told), _MOST_NUMBERS):
            self._client.log_batch(run, metrics=told[first : first + _MOST_NUMBERS])

    def _end(self, spec: TrialSpec, result: TrialResult) -> None:
        assert self._info is not None
        for row in result.curve:
            self._log(spec, [row])
        run = self._open(spec)
        told = summary(spec, result, self._info.higher_is_better)
        self._log_numbers(run, {result.cost.samples_seen: told})
        self._client.set_tag(run, "automl.status", result.status)
        self._client.set_tag(run, "mlflow.note.content", ending(result, self._share_examples))
        self._client.set_terminated(run, "FINISHED" if result.status in ("completed", "pruned") else "FAILED")
        del self._runs[spec.id]
        self._seen.pop(spec.id, None)

    def _publish(self, board: Mapping[str, Any], files: Mapping[str, Path], insights: Insights) -> None:
        run = self._runs[""]
        scores = {f"test/{row['contender']}": row.get("test_mean") for row in board["rows"]}
        self._log_numbers(run, {0: {_allowed(name): value for name, value in numbers(scores).items()}})
        self._client.set_tag(run, "mlflow.note.content", str(board.get("verdict") or ""))
        self._client.log_dict(run, dict(board), "leaderboard.json")
        report = files.get("report")
        if report is not None and report.exists() and may_leave(report, self._share_examples):
            self._client.log_artifact(run, str(report))

    def _close(self, status: str) -> None:
        benchmark = self._runs.pop("")
        for run in self._runs.values():
            self._client.set_terminated(run, "KILLED")
        self._runs.clear()
        self._client.set_tag(benchmark, "automl.status", status)
        ends = {"done": "FINISHED", "interrupted": "KILLED"}
        self._client.set_terminated(benchmark, ends.get(status, "FAILED"))


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Nested values as (dotted name, value)."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = _allowed(f"{before}{key}")
        found += _flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return found


def _allowed(name: str) -> str:
    """MLflow takes letters, digits, blanks and _-./: in a name, and nothing else."""
    return "".join(sign if sign.isalnum() or sign in "_-./: " else "-" for sign in name)
