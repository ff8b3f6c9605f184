"""What a training is going to cost: a few real steps of it, on some of its rows, of which nothing is kept.

It is measured twice. The first time everything is cold (imports, files, kernels), and tells only how many rows and
steps the second time can afford.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import nn

from automl.data.pieces import rows_at
from automl.data.prepared import read_part
from automl.data.write import write_arrow
from automl.provenance import memory_bytes
from automl.registry import get_part
from automl.tasks.base import Task
from automl.training.clock import SlotClock
from automl.training.evaluation import Alone, score_rows, standard_error
from automl.training.fit import Training
from automl.training.memory import peak_memory_bytes, reset_peak_memory
from automl.training.probed import Probe
from automl.training.process import free_memory, trial_device
from automl.training.stream import batch_stream
from automl.training.workers import describe_place, how_it_failed
from automl.types import Part, TrialSpec

SLOW_SECONDS = 30.0
"""A first look that took longer has to do."""
CACHE_SECONDS, STEP_SECONDS, PREDICT_SECONDS = 1.0, 1.5, 0.5
"""What each part of the second look may take, about."""
MOST_STEPS = 64
MOST_ROWS = 20_000


@dataclass(frozen=True)
class _Look:
    """How much is looked at: rows of each part, and steps until so many seconds have passed."""

    train: int
    validation: int
    fewest_steps: int
    step_seconds: float


def probe_training(spec: TrialSpec, scratch: Path, now: Callable[[], float] = perf_counter) -> Probe:
    """What a training of the spec costs here, in this process; it never raises for what the model does.

    spec: a trial's; its run directory is not touched. scratch: a folder that is the caller's to remove.
    All blocks learn that ever do, from the first step on: recipes that release them late cost less.
    """
    recipe = {**spec.recipe, "head_only_share": 0.0, "release_share": 0.0}
    spec, started = replace(spec, recipe=recipe), now()
    few = _Look(train=2 * recipe["batch_size"], validation=16, fewest_steps=2, step_seconds=0.0)
    try:
        found = _measure(spec, scratch / "cold", few, now)
        if now() - started < SLOW_SECONDS:
            free_memory()
            found = _measure(spec, scratch / "warm", _affordable(found), now)
    except Exception as problem:
        return Probe(contender=spec.contender.name, error=how_it_failed(problem)[1], wall_seconds=now() - started)
    return replace(found, wall_seconds=now() - started)


def _affordable(cold: Probe) -> _Look:
    """What the second look may take in, judged by the first."""
    encoding = max(cold.cache_seconds_per_row, 1e-6)
    evaluating = max(encoding + cold.predict_seconds_per_row, 1e-6)
    train = max(int(CACHE_SECONDS / encoding), 4 * cold.batch_size)
    validation = max(int(PREDICT_SECONDS / evaluating), 16)
    return _Look(min(train, MOST_ROWS), min(validation, MOST_ROWS), fewest_steps=4, step_seconds=STEP_SECONDS)


def _measure(spec: TrialSpec, directory: Path, look: _Look, now: Callable[[], float]) -> Probe:
    data = directory / "data"
    data.mkdir(parents=True)
    rows = _take_rows(spec, "train", look.train, data) + _take_rows(spec, "validation", look.validation, data)
    device, clock = trial_device(), SlotClock(None, now=now)
    reset_peak_memory(device)
    spec = replace(spec, data_directory=str(data), run_directory=str(directory))
    training, size = Training(spec, Alone(device), clock), int(spec.recipe["batch_size"])
    began = now()
    training.family.load_processor(spec.contender.checkpoint)
    processor_seconds = now() - began
    steps: list[tuple[int, float]] = []
    began = now()
    with training.ready():
        cache_seconds = clock.spent.get("cache", 0.0)
        ready_seconds = now() - began - cache_seconds
        first_step = now()
        for indices in batch_stream(training.train.lengths, size, spec.seed, MOST_STEPS * size, training.even_groups):
            step_began = now()
            training.take_step(indices, sum(samples for samples, _ in steps))
            steps.append((len(indices), now() - step_began))
            if len(steps) >= look.fewest_steps and now() - first_step >= look.step_seconds:
                break
        learning_bytes = _bytes(training.model, learning=True)
        began = now()
        predictions = training.predict(training.validation)
        predict_seconds = now() - began
        stores = training.stores_activations
    began = now()
    assert training.validation.labels is not None
    score_rows(training.validation.labels, predictions, training.task.metrics)
    standard_error(training.validation.labels, predictions, training.metric)
    scoring_seconds = now() - began
    seconds_per_sample = _steady(steps)
    # of a trial's caches, what does not grow with the rows is loading the processor, once for each part
    fixed = min(cache_seconds, 2 * processor_seconds)
    warm_up = max(0.0, steps[0][1] - seconds_per_sample * steps[0][0])
    held = sum(file.stat().st_size for file in training.cache.rglob("*") if file.is_file())
    return Probe(
        contender=spec.contender.name,
        batch_size=size,
        steps=len(steps),
        ready_seconds=ready_seconds + warm_up,
        seconds_per_sample=seconds_per_sample,
        predict_seconds_per_row=predict_seconds / len(training.validation),
        scoring_seconds=scoring_seconds,
        cache_seconds=fixed,
        cache_seconds_per_row=(cache_seconds - fixed) / rows,
        cache_bytes_per_row=held / rows,
        stores_activations=stores,
        peak_memory_bytes=peak_memory_bytes(device),
        machine_bytes=_memory_of(device),
        model_bytes=_bytes(training.model),
        learning_bytes=learning_bytes,
        environment=describe_place(device),
        notes=tuple(training.outcome.notes),
    )


def _take_rows(spec: TrialSpec, part: Part, count: int, target: Path) -> int:
    """Write some rows of a part, drawn at random, as a part of their own; how many they are."""
    task = get_part("automl.tasks", Task, spec.task)  # type: ignore[type-abstract]
    data = Path(spec.data_directory)
    table = task.located(read_part(data, part), spec.schema, data)
    count = min(count, table.num_rows)
    rows = np.sort(np.random.default_rng(spec.seed).choice(table.num_rows, count, replace=False))
    write_arrow(target / f"{part}.arrow", rows_at(table, rows))
    return count


def _steady(steps: list[tuple[int, float]]) -> float:
    """Seconds a sample, without the first step, which warms up; steps: (samples, seconds)."""
    steady = steps[1:] or steps
    return sum(seconds for _, seconds in steady) / sum(samples for samples, _ in steady)


def _bytes(model: nn.Module, learning: bool = False) -> int:
    values = [p for p in model.parameters() if p.requires_grad or not learning]
    return sum(value.numel() * value.element_size() for value in values)


def _memory_of(device: torch.device) -> int:
    """Bytes of the GPU, else of the host; 0 where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return memory_bytes() or 0
