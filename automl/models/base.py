"""A model family: everything that it alone knows. One file per family, found by the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.types import Checkpoint, Schema

if TYPE_CHECKING:
    import torch

    from automl.models.blocks import Blocks
    from automl.models.weight_fit import WeightFit


TEXT_HEAD = "sequence-classification"
"""What a model of texts has, as tasks name it."""
ADAPTER_FOLDER = "adapter"
"""In the folder of a model that was trained with LoRA: the adapters alone, in peft's layout."""


@dataclass(frozen=True)
class LoraTargets:
    """Names of modules in a model. linear: layers that get adapters. head: modules that learn whole."""

    linear: tuple[str, ...]
    head: tuple[str, ...]


class ModelFamily(ABC):
    """What a family must tell. `heads` are the strings through which it meets the tasks."""

    name: str
    heads: frozenset[str]
    adaptations: frozenset[str]

    @abstractmethod
    def claims(self, checkpoint: Checkpoint) -> bool:
        """Whether the checkpoint is of this family, judged by its config alone (no torch)."""

    @abstractmethod
    def space_name(self, checkpoint: Checkpoint) -> str:
        """The search-space file for a checkpoint of this size."""

    @abstractmethod
    def load_processor(self, checkpoint: Checkpoint) -> Any:
        """What turns raw inputs into model inputs (a tokenizer, an image processor)."""

    @abstractmethod
    def limits(self, model_directory: str, processor: Any) -> dict[str, int]:
        """What bounds the inputs of a model, such as {"max_length": positions}; goes to the task's encode."""

    @abstractmethod
    def padding(self, processor: Any) -> dict[str, int]:
        """The filling value of each input field."""

    @abstractmethod
    def load(self, checkpoint: Checkpoint, head: str, schema: Schema, recipe: Mapping[str, Any]) -> torch.nn.Module:
        """The model with a fresh head and the recipe's dropout; its forward(**batch) gives loss and logits."""

    @abstractmethod
    def blocks(self, model: torch.nn.Module) -> Blocks:
        """The model as an ordered list of blocks, from the inputs up."""

    def fit_of_files(self, checkpoint: Checkpoint, schema: Schema) -> WeightFit | None:
        """How the weights in the files fit the model, found without loading them; None where that is not known.

        Raises CheckpointError where they do not fit.
        """
        return None

    def cannot(self, checkpoint: Checkpoint, adaptation: str) -> str | None:
        """Why a checkpoint of the family cannot be adapted so, for an error message; None where it can."""
        return None if adaptation in self.adaptations else f"{self.name} has no such adaptation"

    def lora_targets(self, model: torch.nn.Module) -> LoraTargets:
        """What LoRA adapts. Asked only of families with the adaptation "lora", which name it themselves.

        The rest of the model must not change: a body with running statistics cannot be adapted so.
        """
        raise AssertionError(f"{self.name} has no adaptation 'lora'")

    @abstractmethod
    def pooled(self, model: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Features of the frozen body, shape (rows, width), float32."""

    @abstractmethod
    def save(self, model: torch.nn.Module, processor: Any, directory: Path) -> None:
        """Write the model in Hugging Face layout (safetensors, processor, labels)."""

    @abstractmethod
    def open(self, directory: Path) -> tuple[torch.nn.Module, Any]:
        """A model that `save` wrote, and its processor."""
