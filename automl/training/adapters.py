"""LoRA: small matrices that learn beside a body that stays, to the bit, as it was pretrained.

Each linear layer y = W x of the blocks becomes y = W x + (ALPHA / rank) B A x, where A and B learn and W does
not. B starts at zero, so training starts from the pretrained model. The head learns whole. Merged, W takes
the product in, and the model is as large and as fast as it was (Hu et al., arXiv 2106.09685).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from automl.errors import CheckpointError, MissingExtra
from automl.models.base import ADAPTER_FOLDER, LoraTargets
from automl.types import Checkpoint

LORA = "lora"
"""The adaptation that this file is for."""

ALPHA = 32
"""The same at every rank: the best learning rate then hardly depends on the rank (methods §1)."""

_BEFORE_NAMES = "base_model.model."
"""What peft puts before every name in the files it reads."""


def require_peft() -> None:
    """Raises MissingExtra unless peft is installed (it is not imported)."""
    if find_spec("peft") is None:
        raise MissingExtra.of("peft", "lora", "--adapt lora")


def import_for(adaptation: str) -> None:
    """Import what trainings with this adaptation need; where it is missing, the training says so."""
    if adaptation == LORA and find_spec("peft") is not None:
        import_module("peft")


class LoraAdapters:
    """The adapters in one model. Afterwards only they and the head require gradients."""

    def __init__(self, model: nn.Module, targets: LoraTargets, recipe: Mapping[str, Any]) -> None:
        """Raises MissingExtra without peft, CheckpointError where the model has nothing to adapt."""
        require_peft()
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel

        if not targets.linear:
            raise CheckpointError(
                f"{type(model).__name__} has no linear layers in its blocks",
                "LoRA adapts these",
                "Choose another --adapt for this model",
            )
        self._model, self._head = model, targets.head
        self._config = LoraConfig(
            r=int(recipe["lora_rank"]),
            lora_alpha=ALPHA,
            lora_dropout=float(recipe["lora_dropout"]),
            target_modules=list(targets.linear),
        )
        self._tuner = LoraModel(model, self._config, "default")  # replaces the layers inside `model`
        for name in self._head:
            model.get_submodule(name).requires_grad_(True)

    def save(self, directory: Path, checkpoint: Checkpoint) -> None:
        """Write the adapters and the head in peft's layout, to be put on the pretrained weights again.

        directory: the model's folder; they go into a folder of their own within it, where nobody who opens
        the merged model stumbles over them.
        """
        from peft import get_peft_model_state_dict
        from safetensors.torch import save_file

        values = get_peft_model_state_dict(self._model, adapter_name="default", save_embedding_layers=False)
        for head in self._head:
            values |= {
                f"{head}.{name}": value for name, value in self._model.get_submodule(head).state_dict().items()
            }
        target = directory / ADAPTER_FOLDER
        target.mkdir(parents=True, exist_ok=True)
        tensors = {f"{_BEFORE_NAMES}{name}": value.detach().cpu().contiguous() for name, value in values.items()}
        save_file(tensors, target / "adapter_model.safetensors", metadata={"format": "pt"})
        self._config.modules_to_save = list(self._head)
        self._config.inference_mode = True
        # A folder or a package of this machine means nothing to whoever loads it elsewhere.
        self._config.base_model_name_or_path = checkpoint.name if checkpoint.kind == "hub" else None
        self._config.save_pretrained(str(target))

    def merge(self) -> None:
        """Turn the model back into a plain one that computes the same; for good."""
        self._tuner.merge_and_unload()
