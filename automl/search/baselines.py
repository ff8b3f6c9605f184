"""The yardsticks: a constant, words and letters, frozen features. Fitted once, before the search, on one seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from automl.data.prepared import read_part
from automl.errors import CheckpointError, one_line
from automl.leaderboard.run_info import baseline_spec
from automl.leaderboard.store import RunFolder, now, write_atomically
from automl.models.base import ModelFamily
from automl.models.blocks import autocast_dtype, count_parameters
from automl.registry import get_part
from automl.search.ledger import Ledger
from automl.tasks.base import Baseline, Task
from automl.tracking.base import Tracker
from automl.training.clock import SlotClock
from automl.training.encoded import EncodedPart, encode_part, sorted_batches
from automl.training.evaluation import EVALUATION_ROWS, save_predictions, score_rows
from automl.training.fit import seed_everything
from automl.training.measure import ROWS, batch_of, time_answers
from automl.training.process import batch_on_device, trial_device
from automl.training.workers import describe_place
from automl.types import Contender, Cost, Part, PreparedData, TrialResult, TrialSpec, slug

if TYPE_CHECKING:
    import pyarrow as pa

Read = Callable[["pa.Table"], Any]
"""Raw rows to what a baseline takes, as they come when it is used."""

PARTS: tuple[Part, ...] = ("train", "validation", "test")
MAX_ROWS = 20_000
"""Baselines learn from at most so many training rows: they are yardsticks, not contenders."""


def planned(task: Task, contenders: list[Contender]) -> list[tuple[str, Baseline, Contender]]:
    """(row name, baseline, contender whose checkpoint gives the features) of every baseline row."""
    first_of = {c.checkpoint.path: c for c in reversed(contenders)}
    rows = []
    for baseline in task.baselines():
        if baseline.needs != "features":
            rows.append((baseline.name, baseline, contenders[0]))
            continue
        for contender in sorted(first_of.values(), key=contenders.index):
            rows.append((f"{contender.name.split('/')[0]} {baseline.name}", baseline, contender))
    return rows


class BaselineRunner:
    """Fits every baseline that the run folder does not hold yet."""

    def __init__(
        self,
        folder: RunFolder,
        contest: dict[str, Any],
        prepared: PreparedData,
        ledger: Ledger,
        tracker: Tracker,
    ) -> None:
        self._folder, self._contest, self._prepared = folder, contest, prepared
        self._ledger, self._tracker = ledger, tracker
        self._task = get_part("automl.tasks", Task, contest["task"])  # type: ignore[type-abstract]

    def run(self) -> None:
        done = {result.contender for result in self._folder.baselines()}
        self._ledger.reconcile(self._folder.baselines())
        for name, baseline, contender in planned(self._task, self._folder.contenders()):
            if name not in done:
                result = self._fit(name, baseline, contender)
                self._folder.append_trial(result)
                self._ledger.charge(result)
                spec = self._spec(name, contender)
                self._tracker.trial_ended(spec, result)

    def _spec(self, name: str, contender: Contender) -> TrialSpec:
        return baseline_spec(self._contest, name, contender, self._prepared.directory, self._folder.path)

    def _fit(self, name: str, baseline: Baseline, contender: Contender) -> TrialResult:
        started_at, spec = now(), self._spec(name, contender)
        clock = SlotClock(None)
        status, error, predictions_file, parameters = "completed", None, None, None
        scores: dict[str, float] = {}
        answer: Read | None = None
        try:
            seed_everything(spec.seed)
            inputs, read, parameters = self._inputs(baseline, contender)
            labels = {part: self._labels(part) for part in ("train", "validation")}
            rows = _some_rows(len(labels["train"]), spec.seed)
            model = self._task.fit_baseline(
                baseline,
                self._prepared.schema,
                (_take(inputs["train"], rows), labels["train"][rows]),
                (inputs["validation"], labels["validation"]),
                spec.seed,
            )
            validation, test = (self._probabilities(model, inputs[part]) for part in ("validation", "test"))
            file = self._folder.predictions / f"{spec.id}.npz"
            save_predictions(file, validation, test)
            predictions_file = f"predictions/{file.name}"
            scores = score_rows(labels["validation"], validation, self._task.metrics)
            answer = _answer(model, read)
        except Exception as problem:  # a yardstick that breaks is a failed row, never the end of a run
            status, error = "failed", one_line(problem)
        clock.tick()
        cost = Cost(device_seconds=clock.device_seconds, wall_seconds=clock.wall_seconds)
        latency = None if answer is None else self._measure(name, answer)  # at nobody's expense
        return TrialResult(
            id=spec.id, kind="baseline", contender=name, status=status, recipe={}, seed=spec.seed,  # type: ignore[arg-type]
            horizon_samples=spec.horizon_samples, curve=(), validation=scores.get(spec.metric),
            cost=cost, error=error, predictions_file=predictions_file, split_fingerprint=spec.split_fingerprint,
            environment=describe_place(trial_device()), started_at=started_at, ended_at=now(), metrics=scores,
            spent={str(kind): seconds for kind, seconds in clock.spent.items()},
            latency_ms_p50=latency, parameters=parameters,
        )  # fmt: skip

    def _measure(self, name: str, answer: Read) -> float | None:
        """Median ms of an answer; all that was measured, as for the shipped models, is kept beside theirs."""
        try:
            found = time_answers(answer, read_part(self._prepared.directory, "validation").slice(0, ROWS))
        except Exception as problem:  # a yardstick is one without its latency too
            self._tracker.note(f"{name}: its answers could not be timed ({type(problem).__name__})")
            return None
        measured = self._folder.measurements() | {name: found}
        write_atomically(self._folder.measurements_file, json.dumps(measured, indent=1))
        latency: float = found["latency_ms_p50"]
        return latency

    def _labels(self, part: Any) -> NDArray[np.int64]:
        return self._task.labels(read_part(self._prepared.directory, part), self._prepared.schema)

    def _inputs(self, baseline: Baseline, contender: Contender) -> tuple[dict[Part, Any], Read, int | None]:
        """What the baseline learns from, by part and from raw rows; and the parameters of a checkpoint it uses."""
        if baseline.needs == "features":
            return self._features(contender)

        def read(rows: pa.Table) -> Any:
            return self._task.baseline_inputs(rows, self._prepared.schema)

        return {part: read(read_part(self._prepared.directory, part)) for part in PARTS}, read, None

    def _features(self, contender: Contender) -> tuple[dict[Part, Any], Read, int]:
        family = get_part("automl.models", ModelFamily, contender.family)  # type: ignore[type-abstract]
        device = trial_device()
        recipe = {"dropout": 0.0, "head_dropout": 0.0}
        schema = self._prepared.schema
        model = family.load(contender.checkpoint, self._task.head, schema, recipe).to(device).eval()
        processor = family.load_processor(contender.checkpoint)
        padding, limits = family.padding(processor), family.limits(contender.checkpoint.path, processor)

        def read(rows: pa.Table) -> NDArray[np.float32]:
            batch = batch_of(rows, self._task, schema, processor, limits, padding, device)
            with torch.inference_mode():
                pooled: NDArray[np.float32] = family.pooled(model, batch).cpu().numpy()
            return pooled

        cache = self._folder.cache / slug(f"{contender.name.split('/')[0]} features")
        found = {}
        for part in PARTS:
            encoded = encode_part(
                cache, part, Path(self._prepared.directory), self._task, family, contender.checkpoint, schema
            )  # fmt: skip
            rows = _some_rows(len(encoded), self._contest["trial_seed"]) if part == "train" else None
            found[part] = self._pool(family, model, encoded, padding, device, rows)
        return found, read, count_parameters(model)

    def _pool(
        self,
        family: ModelFamily,
        model: torch.nn.Module,
        part: EncodedPart,
        padding: dict[str, int],
        device: torch.device,
        rows: NDArray[np.int64] | None,
    ) -> NDArray[np.float32]:
        """Pooled features, shape (rows of the part, width); zero for rows that are not asked for."""
        wanted = np.arange(len(part)) if rows is None else rows
        autocast = autocast_dtype(device)
        features: NDArray[np.float32] | None = None
        for places in sorted_batches(part.lengths[wanted], EVALUATION_ROWS):
            indices = wanted[places]
            batch = batch_on_device(self._task, part.rows(indices), None, padding, device)
            with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
                pooled = family.pooled(model, batch).cpu().numpy()
            if features is None:
                features = np.zeros((len(part), pooled.shape[1]), dtype=np.float32)
            features[indices] = pooled
        assert features is not None
        broken = int((~np.isfinite(features[wanted]).all(axis=1)).sum())
        if broken:  # what is fitted on them would refuse them in words of its own
            raise CheckpointError(
                f"the model's features are NaN or infinite in {broken:,} of {len(wanted):,} rows",
                "numbers",
                "Look at the values of its weights",
            )
        return features

    def _probabilities(self, model: Any, inputs: Any) -> NDArray[np.float32]:
        """Shape (rows, classes of the schema), zero for a class that the model never saw."""
        seen = model.predict_proba(inputs)
        full = np.zeros((len(seen), len(self._prepared.schema.classes)), dtype=np.float32)
        full[:, model.classes_] = seen
        return full


def _some_rows(count: int, seed: int) -> NDArray[np.int64]:
    if count <= MAX_ROWS:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, MAX_ROWS, replace=False))


def _take(inputs: Any, rows: NDArray[np.int64]) -> Any:
    return inputs[rows] if isinstance(inputs, np.ndarray) else [inputs[row] for row in rows]


def _answer(model: Any, read: Read) -> Read:
    return lambda rows: model.predict_proba(read(rows))
