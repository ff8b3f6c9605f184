"""Causal language models (GPT-2, Llama, Mistral, Qwen, Gemma, SmolLM and their likes) under a head for sequences.

The head reads the last position of a text, the only one that has seen all of it. Where that is, transformers
finds by the padding token, so tokenizer and config must agree on one; many checkpoints have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from automl.errors import CheckpointError
from automl.models.base import LoraTargets
from automl.models.blocks import Blocks, longest_layer_list
from automl.models.hugging_face import drop_features, head_config, load_weights
from automl.models.text import TextFamily, set_where_listed
from automl.models.weight_fit import reset_head
from automl.types import Checkpoint, Schema

MODEL_TYPES = frozenset(
    "bloom gemma gemma2 gemma3_text gpt2 gpt_neox llama ministral mistral olmo olmo2 olmo3 phi phi3 qwen2 qwen3 "
    "smollm3 stablelm starcoder2".split()
)
_BODY_DROPOUTS = (
    "attention_dropout", "attn_pdrop", "embd_pdrop", "embedding_dropout", "hidden_dropout", "resid_pdrop",
    "residual_dropout",
)  # fmt: skip
_UNLAYERED_DROPOUTS = ("embedding_dropout",)
"""Applied by the body itself, so they would fall on embeddings that are frozen too."""

_STEM_NAMES = (
    "wte", "wpe", "drop", "embed_in", "emb_dropout", "embed_tokens", "embed_dropout", "word_embeddings",
    "word_embeddings_layernorm",
)  # fmt: skip
_TOP_NAMES = ("ln_f", "norm", "final_layer_norm", "final_layernorm")


class CausalLM(TextFamily):
    name = "causal_lm"

    def claims(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.model_type in MODEL_TYPES

    def space_name(self, checkpoint: Checkpoint) -> str:
        return "causal_lm"

    def positions(self, config: Any) -> int | None:
        positions: int | None = getattr(config, "max_position_embeddings", None)
        return positions

    def prepare_tokenizer(self, tokenizer: Any) -> Any:
        """One that pads, on the right, and that marks where each text begins.

        On the right, for GPT-2 counts positions from the left, padding included. Where a tokenizer adds no mark
        (GPT-2's, Qwen's), a pair of texts would run together and an empty text would have no position at all; the
        mark is what separated documents in pretraining.
        """
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token or tokenizer.unk_token
        if tokenizer.pad_token is None:
            raise CheckpointError(
                f"the tokenizer of {tokenizer.name_or_path or 'the model'} has no token to fill short texts up with, "
                "nor one that ends, begins or replaces any",
                "a pad_token or an eos_token",
                "Name one in its tokenizer_config.json",
            )
        tokenizer.padding_side = tokenizer.truncation_side = "right"
        mark = tokenizer.bos_token or tokenizer.eos_token
        if mark is not None and tokenizer.is_fast and not tokenizer("")["input_ids"]:
            from tokenizers.processors import TemplateProcessing

            tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
                single=f"{mark} $A",
                pair=f"{mark} $A {mark} $B",
                special_tokens=[(mark, tokenizer.convert_tokens_to_ids(mark))],
            )
        return tokenizer

    def load(self, checkpoint: Checkpoint, head: str, schema: Schema, recipe: Mapping[str, Any]) -> nn.Module:
        from transformers import AutoModelForSequenceClassification

        config = head_config(checkpoint, schema)
        pad, known = self.load_processor(checkpoint).pad_token_id, int(config.vocab_size)
        if pad >= known:
            raise CheckpointError(
                f"{checkpoint.name} fills short texts up with token {pad}, but knows {known} tokens, counted from 0",
                "a pad_token among them",
                "Name another in its tokenizer_config.json, such as its eos_token",
            )
        config.pad_token_id = pad
        config.use_cache = False
        set_where_listed(config, _BODY_DROPOUTS, float(recipe["dropout"]))
        set_where_listed(config, _UNLAYERED_DROPOUTS, 0.0)
        set_where_listed(config, ("classifier_dropout",), 0.0)  # the same dropout before every head, see below
        model, fit = load_weights(AutoModelForSequenceClassification, checkpoint, config)
        if fit.old_classes is not None:
            reset_head(model)
        drop_features(model.score, float(recipe["head_dropout"]))  # type: ignore[arg-type]
        return model

    def blocks(self, model: nn.Module) -> Blocks:
        body: nn.Module = model.base_model  # type: ignore[assignment]
        children = dict(body.named_children())
        layers = longest_layer_list(body)
        return Blocks(
            model=model,
            stem=tuple(children[name] for name in _STEM_NAMES if name in children),
            layers=tuple(layers),
            layer_list=layers,
            top=tuple(children[name] for name in _TOP_NAMES if name in children),
        )

    def lora_targets(self, model: nn.Module) -> LoraTargets:
        return LoraTargets(self.blocks(model).linear_layers(), ("score",))
