"""The models that a run leaves: of each contender's finals the one with the median validation score."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from automl.data.prepared import read_part
from automl.leaderboard.busy import disturbance
from automl.leaderboard.kept import KeptRun
from automl.leaderboard.store import RunFolder, write_atomically
from automl.models.base import ModelFamily
from automl.registry import get_part
from automl.tasks.base import Task
from automl.training.measure import ROWS, measure_model
from automl.training.process import trial_device
from automl.types import Contender, PreparedData, TrialResult

MODEL_FACTS = "automl.json"
"""Beside the weights: what `automl predict` needs to know of the task and its columns."""


def median_final(finals: list[TrialResult]) -> TrialResult | None:
    """The final with the (lower) median validation score: neither luck nor the test chose it."""
    whole = [f for f in finals if f.status == "completed" and f.model_dir and f.validation is not None]
    ranked = sorted(whole, key=lambda final: (final.validation, final.seed))
    return ranked[(len(ranked) - 1) // 2] if ranked else None


def ship_models(folder: RunFolder, prepared: PreparedData, kept: KeptRun | None = None) -> None:
    """Move every contender's median final to models/ and drop the other finals' weights. kept: where they may lie."""
    for contender in folder.contenders():
        finals = [t for t in folder.counting_trials() if t.contender == contender.name and t.kind == "final"]
        target = folder.models / contender.slug
        chosen = median_final(finals)
        if chosen is not None and _shipped(target) != chosen.id:
            assert chosen.model_dir is not None
            source = folder.path / chosen.model_dir
            if kept is not None and not source.exists():
                kept.collect_folder(chosen.model_dir)
            _withdraw(folder, contender)
            facts = {
                "task": prepared.schema.task,
                "schema": prepared.schema.to_json(),
                "family": contender.family,
                "contender": contender.name,
                "trained_as": chosen.id,
                "seed": chosen.seed,
            }
            write_atomically(source / MODEL_FACTS, json.dumps(facts, indent=1, ensure_ascii=False))
            target.parent.mkdir(exist_ok=True)
            source.rename(target)
        for final in finals:
            if final.model_dir:
                shutil.rmtree(folder.path / final.model_dir, ignore_errors=True)
                if kept is not None:
                    kept.drop_folder(final.model_dir)


def _shipped(target: Path) -> str | None:
    """The final whose model lies there."""
    facts = target / MODEL_FACTS
    return json.loads(facts.read_text(encoding="utf-8"))["trained_as"] if facts.exists() else None


def _withdraw(folder: RunFolder, contender: Contender) -> None:
    """Remove the model of an earlier winner, and what was measured of it."""
    shutil.rmtree(folder.models / contender.slug, ignore_errors=True)
    found = folder.measurements()
    if found.pop(contender.name, None) is not None:
        write_atomically(folder.measurements_file, json.dumps(found, indent=1))


def measure_models(folder: RunFolder, prepared: PreparedData) -> None:
    """Fill measurements.json: each shipped model in turn, with nothing else of the run going on.

    A model that was timed on a busy machine is timed again.
    """
    found = folder.measurements()
    for contender in folder.contenders():
        directory = folder.models / contender.slug
        told = found.get(contender.name)
        if (told is None or disturbance(told)) and directory.exists():
            found[contender.name] = _measure(contender, directory, prepared)
    write_atomically(folder.measurements_file, json.dumps(found, indent=1))


def _measure(contender: Contender, directory: Any, prepared: PreparedData) -> dict[str, Any]:
    table = read_part(prepared.directory, "validation").slice(0, ROWS)
    family = get_part("automl.models", ModelFamily, contender.family)  # type: ignore[type-abstract]
    task = get_part("automl.tasks", Task, prepared.schema.task)  # type: ignore[type-abstract]
    return measure_model(directory, family, task, prepared.schema, table, trial_device())
