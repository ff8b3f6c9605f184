"""Text encoders (BERT, RoBERTa, DistilBERT, ELECTRA, MPNet, DeBERTa, ModernBERT and their likes) with a head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from automl.errors import CheckpointError
from automl.models.base import LoraTargets, ModelFamily
from automl.models.blocks import Blocks, longest_layer_list
from automl.models.hugging_face import head_config, load_weights, open_weights
from automl.types import Checkpoint, Schema

SMALL_PARAMETERS = 70_000_000
"""Up to here a checkpoint takes the learning rates of small encoders (methods: MiniLM, ELECTRA-small)."""

LONGEST_INPUT = 512
"""Positions; longer texts are cut. Beyond it the cost of a trial grows with little gain for classification."""

MODEL_TYPES = frozenset(
    "albert bert camembert convbert deberta deberta-v2 distilbert electra ernie mpnet modernbert nomic_bert "
    "rembert roberta roberta-prelayernorm roformer squeezebert xlm-roberta".split()
)
_BODY_DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout", "embedding_dropout",
    "mlp_dropout",
)  # fmt: skip
_HEAD_DROPOUTS = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "cls_dropout")
_STEM_NAMES = ("embeddings", "embeddings_project", "embedding_hidden_mapping_in")


class TextEncoder(ModelFamily):
    name = "text_encoder"
    heads = frozenset({"sequence-classification"})
    adaptations = frozenset({"full", "frozen", "lora"})

    def claims(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.model_type in MODEL_TYPES

    def space_name(self, checkpoint: Checkpoint) -> str:
        return "text_encoder_small" if checkpoint.parameters <= SMALL_PARAMETERS else "text_encoder_base"

    def load_processor(self, checkpoint: Checkpoint) -> Any:
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(checkpoint.path, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, ImportError) as error:
            raise CheckpointError(
                f"the tokenizer of {checkpoint.name} cannot be loaded: {' '.join(str(error).split())[:300]}",
                "tokenizer files beside the weights",
                "Copy tokenizer.json and tokenizer_config.json into the model's folder",
            ) from error

    def limits(self, model_directory: str, processor: Any) -> dict[str, int]:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(model_directory, local_files_only=True)
        positions = getattr(config, "max_position_embeddings", None) or LONGEST_INPUT
        if "roberta" in config.model_type or config.model_type in ("camembert", "mpnet"):
            positions -= 2  # these count positions from padding_idx + 1
        return {"max_length": int(min(positions, processor.model_max_length, LONGEST_INPUT))}

    def padding(self, processor: Any) -> dict[str, int]:
        return {"input_ids": processor.pad_token_id or 0, "token_type_ids": processor.pad_token_type_id}

    def load(self, checkpoint: Checkpoint, head: str, schema: Schema, recipe: Mapping[str, Any]) -> nn.Module:
        from transformers import AutoModelForSequenceClassification

        config = head_config(checkpoint, schema)
        for names, key in ((_BODY_DROPOUTS, "dropout"), (_HEAD_DROPOUTS, "head_dropout")):
            for name in names:
                # DeBERTa's head asks for a value that its config does not list
                if hasattr(config, name) or (name == "cls_dropout" and "deberta" in config.model_type):
                    setattr(config, name, float(recipe[key]))
        return load_weights(AutoModelForSequenceClassification, checkpoint, config)

    def blocks(self, model: nn.Module) -> Blocks:
        body: nn.Module = model.base_model  # type: ignore[assignment]
        stem = [module for name, module in body.named_children() if name in _STEM_NAMES]
        layers = longest_layer_list(body)
        assert stem, f"{type(model).__name__} has no embeddings to speak of"
        return Blocks(
            model=model,
            stem=tuple(stem),
            layers=tuple(layers),
            layer_list=layers,
            never_empty=str(getattr(model.config, "model_type", "")).startswith("deberta"),
        )

    def lora_targets(self, model: nn.Module) -> LoraTargets:
        """Every linear layer of the blocks; the head is what is not in the body, and the pooler.

        What else stands outside the blocks (last norms, DeBERTa's relative positions) is pretrained body.
        """
        body: nn.Module = model.base_model  # type: ignore[assignment]
        named = dict(model.named_modules())
        head = [name for name, child in model.named_children() if child is not body]
        head += [name for name, m in named.items() if m is getattr(body, "pooler", None)]
        learns = tuple(name for name in head if any(True for _ in named[name].parameters()))
        return LoraTargets(self.blocks(model).linear_layers(), learns)

    def pooled(self, model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        hidden = model.base_model(**inputs)[0].float()  # type: ignore[operator]
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        pooled: torch.Tensor = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
        return pooled

    def save(self, model: nn.Module, processor: Any, directory: Path) -> None:
        model.save_pretrained(directory)  # type: ignore[operator]
        processor.save_pretrained(directory)

    def open(self, directory: Path) -> tuple[nn.Module, Any]:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        model = open_weights(AutoModelForSequenceClassification, directory)
        return model, AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
