"""A task: everything that it alone knows. One file per task; the registry finds it by importing this package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.types import Schema

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

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

    @abstractmethod
    def choose_metric(self, class_counts: Mapping[str, int]) -> tuple[str, str]:
        """The metric that decides on this data, and the reason in one sentence."""

    @abstractmethod
    def encode(self, table: pa.Table, schema: Schema, processor: Any, limits: Mapping[str, int]) -> dict[str, Field]:
        """Model inputs of every row, ragged, by the name of the model's argument. limits: the family's."""

    def located(self, table: pa.Table, schema: Schema, folder: Path) -> pa.Table:
        """The rows of a user's file, where inputs that are relative paths count from `folder`; unchanged here."""
        return table

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

    def augment(
        self, batch: dict[str, torch.Tensor], recipe: Mapping[str, Any], generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """A training batch with its inputs varied at random; unchanged here. Never called for evaluation."""
        return batch

    def unsafe_to_augment(self, classes: Sequence[str]) -> str | None:
        """A class that `augment` may turn into another, by its name; None where there is none.

        Where there is one, no recipe augments (`when_data: {safe_to_augment: 1}` in the search spaces).
        """
        return None

    def is_augmented(self, recipe: Mapping[str, Any]) -> bool:
        """Whether `augment` changes anything under this recipe: then no activations can be stored."""
        return False

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
