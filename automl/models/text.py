"""What families of text models share: a tokenizer, inputs of bounded length, a head for sequences."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from automl.errors import CheckpointError
from automl.models.base import ModelFamily
from automl.models.hugging_face import fit_of_files, head_config, open_weights
from automl.models.weight_fit import WeightFit
from automl.types import Checkpoint, Schema

LONGEST_INPUT = 512
"""Positions; longer texts are cut. Beyond it the cost of a trial grows with little gain for classification."""

_PADDING_TOKENS = ("[PAD]", "<pad>", "<|pad|>")


class TextFamily(ModelFamily):
    """A family whose inputs are tokens; how its head and its blocks are found is its own."""

    heads = frozenset({"sequence-classification"})
    adaptations = frozenset({"full", "frozen", "lora"})

    @abstractmethod
    def positions(self, config: Any) -> int | None:
        """The longest input that a model of this config can take, None where there is no bound."""

    def prepare_tokenizer(self, tokenizer: Any) -> Any:
        """The tokenizer as this family's models need it: one that pads, where it has a token that says so."""
        known = {} if tokenizer.pad_token is not None else tokenizer.get_vocab()
        for token in _PADDING_TOKENS:
            if token in known and tokenizer.pad_token is None:
                tokenizer.pad_token = token
        return tokenizer

    def load_processor(self, checkpoint: Checkpoint) -> Any:
        try:
            return self._tokenizer(checkpoint.path)
        except (OSError, ValueError, ImportError) as error:
            raise CheckpointError(
                f"the tokenizer of {checkpoint.name} cannot be loaded: {' '.join(str(error).split())[:300]}",
                "tokenizer files beside the weights",
                "Copy tokenizer.json and tokenizer_config.json into the model's folder",
            ) from error

    def fit_of_files(self, checkpoint: Checkpoint, schema: Schema) -> WeightFit | None:
        from transformers import AutoModelForSequenceClassification

        return fit_of_files(AutoModelForSequenceClassification, checkpoint, head_config(checkpoint, schema))

    def limits(self, model_directory: str, processor: Any) -> dict[str, int]:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(model_directory, local_files_only=True)
        return {"max_length": self._longest_input(config, processor)}

    def _longest_input(self, config: Any, tokenizer: Any) -> int:
        """The least of what the positions, the tokenizer and LONGEST_INPUT allow."""
        positions, own = self.positions(config), tokenizer.model_max_length
        bounds = [LONGEST_INPUT]
        bounds += [] if positions is None else [positions]
        bounds += [int(own)] if own and own > 0 else []  # 0 and below say that nobody knew it
        return min(bounds)

    def padding(self, processor: Any) -> dict[str, int]:
        return {"input_ids": processor.pad_token_id or 0, "token_type_ids": processor.pad_token_type_id}

    def pooled(self, model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        hidden = model.base_model(**inputs)[0].float()  # type: ignore[operator]
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        pooled: torch.Tensor = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
        return pooled

    def save(self, model: nn.Module, processor: Any, directory: Path) -> None:
        """The tokenizer leaves with the limit that the model was trained at, so that truncating means that."""
        processor.model_max_length = self._longest_input(model.config, processor)
        model.save_pretrained(directory)  # type: ignore[operator]
        processor.save_pretrained(directory)

    def open(self, directory: Path) -> tuple[nn.Module, Any]:
        from transformers import AutoModelForSequenceClassification

        return open_weights(AutoModelForSequenceClassification, directory), self._tokenizer(directory)

    def _tokenizer(self, directory: Path | str) -> Any:
        from transformers import AutoTokenizer

        found = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        return self.prepare_tokenizer(found)


def set_where_listed(config: Any, names: Iterable[str], value: float) -> None:
    """Give the value to every one of these settings that the config has."""
    for name in names:
        if hasattr(config, name):
            setattr(config, name, value)
