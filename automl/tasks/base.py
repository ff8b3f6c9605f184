"""A task: everything that it alone knows. One file per task; the registry finds it by importing this package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.data.rows import Rows
from automl.types import Schema

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

Generators = Sequence[np.random.Generator]
"""One for each row: what it varies by depends on nothing beside it."""
Features = NDArray[np.float32]
Loss = Callable[[Any, "torch.Tensor"], "torch.Tensor"]
"""(outputs of the head, labels of the batch) to the batch's mean loss."""
Field = tuple[NDArray[Any], NDArray[np.int64]]
"""Values of all rows end to end, shape (total, ...), and offsets, shape (rows + 1,): row i is
values[offsets[i]:offsets[i + 1]]."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A zero-training yardstick that every board lists.

    needs: 'inputs' (the columns), 'features' (pooled hidden states of a frozen checkpoint), or 'labels' alone.
    """

    name: str
    needs: str


class Task(ABC):
    """What a task must tell. `head` is the one string through which it meets the model families."""

    name: str
    head: str
    pipeline: str
    """The name under which `transformers.pipeline` serves the head."""
    metrics: tuple[str, ...]
    """Every metric that is recorded; the first is the usual one."""
    piece_rows: int | None = None
    """How many rows `encode` and `labels` are given at a time, where each is encoded by itself; None: all at once."""

    @abstractmethod
    def choose_metric(self, class_counts: Mapping[str, int]) -> tuple[str, str]:
        """The metric that decides on this data, and the reason in one sentence."""

    @abstractmethod
    def encode(self, table: pa.Table, schema: Schema, processor: Any, limits: Mapping[str, int]) -> dict[str, Field]:
        """Model inputs of every row, ragged, by the name of the model's argument. limits: the family's."""

    def brought(self, rows: Rows, schema: Schema) -> tuple[Rows, dict[int, str]]:
        """A user's new rows as `encode` reads them, and why some hold no input; here as they are.

        Raises DataError where none holds any.
        """
        return rows, {}

    def unreadable(self, table: pa.Table, schema: Schema) -> dict[int, str]:
        """By its place, why a row's input cannot be encoded; empty here: any text can."""
        return {}

    def located(self, table: pa.Table, schema: Schema, folder: Path) -> pa.Table:
        """Prepared rows, where inputs that are relative paths count from `folder`; unchanged here."""
        return table

    def file_column(self, schema: Schema) -> str | None:
        """The column whose values are paths of files that belong to the rows; None here: rows are whole."""
        return None

    @abstractmethod
    def labels(self, table: pa.Table, schema: Schema) -> NDArray[np.int64]:
        """Targets as numbers, shape (rows,)."""

    @abstractmethod
    def collate(
        self,
        rows: Sequence[Mapping[str, NDArray[Any]]],
        labels: NDArray[np.int64] | None,
        padding: Mapping[str, int],
    ) -> dict[str, torch.Tensor]:
        """A batch padded to its longest row. padding: the value that fills each field."""

    def unpack(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Model inputs from a collated batch that is on its device; here they are the same.

        What takes less room before it is computed further moves so, and the device computes it.
        """
        return batch

    variations: frozenset[str] = frozenset()
    """Which of VARIATIONS (variations.py) its recipes may have; none here. Never for evaluation."""

    def is_augmented(self, recipe: Mapping[str, Any]) -> bool:
        """Whether training inputs vary under this recipe: then no activations can be stored."""
        return False

    def rewrites(self, recipe: Mapping[str, Any]) -> bool:
        """Whether `rewrite` changes anything under this recipe: then training rows are encoded batch by batch."""
        return False

    def rewrite(self, table: pa.Table, schema: Schema, recipe: Mapping[str, Any], generators: Generators) -> pa.Table:
        """Training rows with their inputs varied before they are encoded, each by its own generator."""
        return table

    def augment(
        self, batch: dict[str, torch.Tensor], recipe: Mapping[str, Any], generators: Generators
    ) -> dict[str, torch.Tensor]:
        """A training batch with its encoded inputs varied, each row by its own generator."""
        return batch

    def varied_inputs(
        self, table: pa.Table, schema: Schema, recipe: Mapping[str, Any], generators: Generators
    ) -> dict[str, list[tuple[Any, Any]]]:
        """By column, each row's input before and after it is varied, for people: texts, or small PIL pictures."""
        varied = self.rewrite(table, schema, recipe, generators)
        return {
            name: list(zip(table.column(name).to_pylist(), varied.column(name).to_pylist(), strict=True))
            for name in schema.inputs
        }

    def mixed_share(self, recipe: Mapping[str, Any], generator: np.random.Generator) -> float | None:
        """What share of itself each row of a batch keeps when rows are mixed in pairs; None where none is."""
        return None

    def mix(
        self, batch: dict[str, torch.Tensor], other: dict[str, torch.Tensor], share: float
    ) -> dict[str, torch.Tensor]:
        """The inputs of the batch, `share` of them, and the rest of those of the other batch, row by row.

        The loss is mixed likewise: `share` of that with the batch's labels, and the rest with the other's.
        """
        raise NotImplementedError(f"{self.name} has no mixture of two inputs")

    @abstractmethod
    def make_loss(self, labels: NDArray[np.int64], recipe: Mapping[str, Any], device: torch.device) -> Loss:
        """What a training of this recipe minimises: the mean loss of a batch over its rows.

        A row's loss may not depend on the rows beside it: a batch is computed in pieces where memory is short.
        labels: of all training rows, as `labels` gave them.
        """

    def even_groups(self, labels: NDArray[np.int64], recipe: Mapping[str, Any]) -> NDArray[np.int64] | None:
        """A group for every training row, shape (rows,), where an epoch is to draw all groups equally often.

        None, as here, where it is to have every row once.
        """
        return None

    @abstractmethod
    def predict(self, outputs: Any) -> NDArray[np.float32]:
        """Predictions from a model's outputs: probabilities of shape (rows, classes)."""

    @abstractmethod
    def answers(self, predictions: NDArray[np.float32], schema: Schema) -> dict[str, list[Any]]:
        """What a user reads for each row: {"prediction": [...], "probability": [...]}."""

    @abstractmethod
    def baseline_inputs(self, table: pa.Table, schema: Schema) -> Sequence[Any]:
        """What a baseline that needs the inputs learns from, one item a row."""

    @abstractmethod
    def baselines(self) -> tuple[Baseline, ...]:
        """The yardsticks of this task."""

    @abstractmethod
    def fit_baseline(
        self,
        baseline: Baseline,
        schema: Schema,
        train: tuple[Any, NDArray[np.int64]],
        validation: tuple[Any, NDArray[np.int64]],
        seed: int,
    ) -> Any:
        """A fitted object with predict_proba over all classes of the schema; validation picks its strength."""
