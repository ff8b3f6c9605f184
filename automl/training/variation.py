"""Training batches with their inputs varied: what varies a row is decided by the seed and its place alone.

Not by the rows beside it, nor by how many are computed at once or on how many workers: a training that is resumed,
replayed or short of memory sees the same inputs again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from automl.data.pieces import rows_at
from automl.data.prepared import read_training_rows
from automl.models.base import ModelFamily
from automl.tasks.base import Generators, Task
from automl.training.encoded import EncodedPart
from automl.types import TrialSpec

Targets = Sequence[tuple[float, Tensor]]
"""Labels of a batch, and the share of the loss that each counts for."""


def row_generators(seed: int, places: NDArray[np.int64]) -> Generators:
    """A generator for each place in a training: the samples seen before it."""
    return [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(place),))) for place in places]


class RewrittenRows:
    """The training rows as they were read, for recipes under which each comes in other words every time."""

    def __init__(
        self, spec: TrialSpec, task: Task, family: ModelFamily, processor: Any, labels: NDArray[np.int64]
    ) -> None:
        """labels: of all training rows."""
        self._spec, self._task, self._processor, self._labels = spec, task, processor, labels
        self._table = read_training_rows(Path(spec.data_directory), spec.fold)
        self._limits = family.limits(spec.contender.checkpoint.path, processor)

    def part(self, rows: NDArray[np.int64], generators: Generators) -> EncodedPart:
        """These rows, varied and encoded."""
        schema, table = self._spec.schema, rows_at(self._table, rows)
        varied = self._task.rewrite(table, schema, self._spec.recipe, generators)
        encoded = EncodedPart.of(self._task.encode(varied, schema, self._processor, self._limits))
        return replace(encoded, labels=self._labels[rows])


class VariedBatches:
    """Batches as a recipe wants them for training.

    make_batch: row numbers, and a generator for each where inputs vary, to a batch on the device with its labels.
    """

    def __init__(
        self,
        task: Task,
        recipe: Mapping[str, Any],
        make_batch: Callable[[NDArray[np.int64], Generators], dict[str, Tensor]],
        seed: int,
    ) -> None:
        self._task, self._recipe, self._make_batch, self._seed = task, recipe, make_batch, seed
        self._varied = task.is_augmented(recipe)

    def batch(
        self, indices: NDArray[np.int64], chosen: NDArray[np.int64], seen: int
    ) -> tuple[dict[str, Tensor], Targets]:
        """Inputs and targets of the rows at the places `chosen` of a global batch. seen: samples before it."""
        batch = self._rows(indices, chosen, seen)
        labels = batch.pop("labels")
        if not self._varied:
            return batch, [(1.0, labels)]
        # for the whole batch, of which this may be a piece; two keys keep it apart from what its rows draw
        of_all = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(seen, 0)))
        share = self._task.mixed_share(self._recipe, of_all)
        if share is None:
            return batch, [(1.0, labels)]
        other = self._rows(indices, of_all.permutation(len(indices))[chosen], seen)
        return self._task.mix(batch, other, share), [(share, labels), (1 - share, other.pop("labels"))]

    def _rows(self, indices: NDArray[np.int64], chosen: NDArray[np.int64], seen: int) -> dict[str, Tensor]:
        if not self._varied:
            return self._make_batch(indices[chosen], ())
        generators = row_generators(self._seed, seen + chosen)
        return self._task.augment(self._make_batch(indices[chosen], generators), self._recipe, generators)
