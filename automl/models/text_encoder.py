"""Text encoders (BERT, RoBERTa, DistilBERT, ELECTRA, MPNet, DeBERTa, ModernBERT and their likes) with a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from automl.models.base import LoraTargets
from automl.models.blocks import Blocks, longest_layer_list, others_in
from automl.models.hugging_face import head_config, load_weights
from automl.models.text import TextFamily, set_where_listed
from automl.models.weight_fit import reset_head
from automl.types import Checkpoint, Schema

SMALL_PARAMETERS = 70_000_000
"""Up to here a checkpoint takes the learning rates of small encoders (methods: MiniLM, ELECTRA-small)."""

MODEL_TYPES = frozenset(
    "albert bert camembert convbert deberta deberta-v2 distilbert electra ernie mpnet modernbert nomic_bert "
    "rembert roberta roberta-prelayernorm roformer xlm-roberta".split()
)
_BODY_DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout", "embedding_dropout",
    "mlp_dropout",
)  # fmt: skip
_HEAD_DROPOUTS = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout")
_STEM_NAMES = ("embeddings", "embeddings_project", "encoder.embedding_hidden_mapping_in")
_TOP_NAMES = ("LayerNorm", "final_norm")


class TextEncoder(TextFamily):
    name = "text_encoder"

    def claims(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.model_type in MODEL_TYPES

    def space_name(self, checkpoint: Checkpoint) -> str:
        return "text_encoder_small" if checkpoint.parameters <= SMALL_PARAMETERS else "text_encoder_base"

    def positions(self, config: Any) -> int | None:
        positions: int | None = getattr(config, "max_position_embeddings", None)
        if positions and ("roberta" in config.model_type or config.model_type in ("camembert", "mpnet")):
            # these count positions from padding_idx + 1; MPNet's is 1 whatever its config says
            padding = None if config.model_type == "mpnet" else getattr(config, "pad_token_id", None)
            return positions - (1 if padding is None else int(padding)) - 1
        return positions

    def load(self, checkpoint: Checkpoint, head: str, schema: Schema, recipe: Mapping[str, Any]) -> nn.Module:
        from transformers import AutoModelForSequenceClassification

        config = head_config(checkpoint, schema)
        set_where_listed(config, _BODY_DROPOUTS, float(recipe["dropout"]))
        set_where_listed(config, _HEAD_DROPOUTS, float(recipe["head_dropout"]))
        if "deberta" in config.model_type:
            config.cls_dropout = float(recipe["head_dropout"])  # its head asks for it, its config does not list it
        model, fit = load_weights(AutoModelForSequenceClassification, checkpoint, config)
        if fit.old_classes is not None:
            reset_head(model)
        return model

    def blocks(self, model: nn.Module) -> Blocks:
        """The pooler is part of the head; what stands beside the layers (relative positions) learns with the stem."""
        body: nn.Module = model.base_model  # type: ignore[assignment]
        named = dict(body.named_modules())
        stem = tuple(named[name] for name in _STEM_NAMES if name in named)
        top = tuple(named[name] for name in _TOP_NAMES if name in named)
        layers = longest_layer_list(body)
        assert stem, f"{type(model).__name__} has no embeddings to speak of"
        pooler = [named["pooler"]] if "pooler" in named else []
        kind = str(getattr(model.config, "model_type", ""))
        return Blocks(
            model=model,
            stem=stem,
            layers=tuple(layers),
            layer_list=layers,
            never_empty=kind.startswith("deberta"),
            top=top,
            beside=tuple((0, module) for module in others_in(body, [*stem, layers, *top, *pooler])),
            # ALBERT runs its one layer again and again; the largest DeBERTas add the embeddings to their first layer
            cuttable=kind != "albert" and "encoder.conv" not in named,
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
