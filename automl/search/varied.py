"""A few training rows as they were and as they came out varied: for the report, which stays on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from automl.data.images import data_uri
from automl.data.pieces import rows_at
from automl.data.prepared import read_part
from automl.leaderboard.store import RunFolder, write_atomically
from automl.registry import get_part
from automl.tasks.base import Task
from automl.tasks.variations import VARIATIONS
from automl.training.variation import row_generators
from automl.types import PreparedData

_ROWS = 4


def keep_varied_examples(folder: RunFolder, prepared: PreparedData) -> None:
    """Write varied.json into the run's data: rows under a winner's variation, else under one that was tried.

    Nothing is written where no training varied its inputs. The operations are drawn as in training.
    """
    task = get_part("automl.tasks", Task, prepared.schema.task)  # type: ignore[type-abstract]
    shown = _shown(folder, task)
    if shown is None:
        folder.varied_file.unlink(missing_ok=True)
        return
    contender, recipe, won = shown
    rows = read_part(prepared.directory, "train")
    labels = task.labels(rows, prepared.schema)
    first = np.sort(np.unique(labels, return_index=True)[1])  # one of each class, then whatever comes
    chosen = np.concatenate([first, np.setdiff1d(np.arange(len(labels)), first)])[:_ROWS]
    taken = rows_at(rows, chosen)
    pairs = task.varied_inputs(taken, prepared.schema, recipe, row_generators(prepared.split.seed, chosen))
    keys = {one.key for one in VARIATIONS.values()}
    told = {
        "contender": contender,
        "won": won,
        "recipe": {name: value for name, value in recipe.items() if name in keys},
        "rows": [
            {
                "row": row,
                "label": label,
                "inputs": [
                    {"column": name, "before": _written(pairs[name][at][0]), "after": _written(pairs[name][at][1])}
                    for name in pairs
                ],
            }
            for at, (row, label) in enumerate(zip(taken["row"].to_pylist(), taken["label"].to_pylist(), strict=True))
        ],
    }
    write_atomically(folder.varied_file, json.dumps(told, ensure_ascii=False))


def _shown(folder: RunFolder, task: Task) -> tuple[str, Mapping[str, Any], bool] | None:
    """(contender, recipe, whether it won) of the variation that is shown; None where there was none."""
    won = [(name, winner.get("recipe") or {}, True) for name, winner in folder.read_winners().items()]
    tried = [(trial.contender, trial.recipe, False) for trial in folder.counting_trials()]
    return next((one for one in [*won, *tried] if task.is_augmented(one[1])), None)


def _written(value: Any) -> str:
    """A text as it is; a picture as a data URI."""
    return value if isinstance(value, str) else data_uri(value)
