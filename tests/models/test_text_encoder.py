"""Encoders of every kind that is claimed keep the contract of every family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from automl.models.text_encoder import MODEL_TYPES, TextEncoder
from automl.types import Checkpoint, Schema
from tests.models.contract import FamilyContract
from tests.toys import RECIPE, tiny_tokenizer

SCHEMA = Schema(task="text-classification", inputs=("text",), target="label", classes=("a", "b", "c"))
SMALL = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}
CONFIGS = {
    "bert": ("BertConfig", {}),
    "roberta": ("RobertaConfig", {}),
    "xlm-roberta": ("XLMRobertaConfig", {}),
    "electra": ("ElectraConfig", {"embedding_size": 16}),
    "distilbert": ("DistilBertConfig", {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 48}),
    "mpnet": ("MPNetConfig", {}),
    "albert": ("AlbertConfig", {"embedding_size": 16}),
    "convbert": ("ConvBertConfig", {"embedding_size": 16}),
    "deberta": ("DebertaConfig", RELATIVE),
    "deberta-v2 with a convolution": (
        "DebertaV2Config",
        {"conv_kernel_size": 3, "norm_rel_ebd": "layer_norm"} | RELATIVE,
    ),
    "ernie": ("ErnieConfig", {}),
    "nomic_bert": ("NomicBertConfig", {}),
    "rembert": ("RemBertConfig", {"input_embedding_size": 16}),
    "roberta-prelayernorm": ("RobertaPreLayerNormConfig", {}),
    "roformer": ("RoFormerConfig", {"embedding_size": 16}),
    "deberta-v2": ("DebertaV2Config", RELATIVE),
    "modernbert": (
        "ModernBertConfig",
        {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "local_attention": 4},
    ),
    "camembert": ("CamembertConfig", {}),
}


@pytest.fixture(params=sorted(CONFIGS))
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    name, extra = CONFIGS[request.param]
    torch.manual_seed(0)
    config = getattr(transformers, name)(**SMALL | extra)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer(tmp_path)
    return Checkpoint(
        name=request.param,
        path=str(tmp_path),
        revision="toy",
        kind="folder",
        architecture=name,
        model_type=config.model_type,
        parameters=1,
    )


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 100, (4, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 5:] = 0
    return {"input_ids": ids, "attention_mask": mask}


class TestTextEncoder(FamilyContract):
    family = TextEncoder()
    head = "sequence-classification"
    without_head_dropout = frozenset({"mpnet", "roformer"})

    def batch(self) -> dict[str, torch.Tensor]:
        return batch()


def test_every_kind_that_is_claimed_is_tested() -> None:
    assert {kind.split()[0] for kind in CONFIGS} == MODEL_TYPES


def test_the_embeddings_are_the_first_block_and_the_classifier_is_in_the_last(checkpoint: Checkpoint) -> None:
    model = TextEncoder().load(checkpoint, "sequence-classification", SCHEMA, RECIPE)
    by_block = TextEncoder().blocks(model).parameters()
    assert len(by_block) == (3 if checkpoint.model_type == "albert" else 5)  # its layers are one layer, run again
    assert any("embedding" in name for name, _ in by_block[0])
    assert any("classifier" in name or "head" in name for name, _ in by_block[-1])
