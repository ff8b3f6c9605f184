"""Encoders of every kind that is claimed keep the contract of every family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers

from automl.models.text_encoder import MODEL_TYPES, TextEncoder
from automl.types import Checkpoint, Schema
from tests.models.contract import FamilyContract
from tests.toys import RECIPE, tiny_contender, tiny_tokenizer

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


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert", "roberta-prelayernorm", "mpnet"])
@pytest.mark.parametrize("padding", [0, 1, 3])
def test_positions_that_begin_behind_the_padding_index_leave_room_for_the_rest(
    kind: str, padding: int, tmp_path: Path
) -> None:
    """MPNet counts from 2 whatever its config says."""
    name, extra = CONFIGS[kind]
    config = getattr(transformers, name)(**SMALL | extra | {"num_hidden_layers": 1, "pad_token_id": padding})
    longest = TextEncoder().positions(config)
    assert longest == (38 if kind == "mpnet" else 40 - padding - 1)
    model = transformers.AutoModel.from_config(config).eval()
    with torch.no_grad():
        model(input_ids=torch.full((1, longest), 7))
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, longest + 1), 7))


@pytest.mark.parametrize(("own", "limit"), [(512, 40), (0, 40), (-1, 40), (10**30, 40), (20, 20)])
def test_the_shipped_tokenizer_knows_the_limit_that_the_model_was_trained_at(
    own: int, limit: int, tmp_path: Path
) -> None:
    """So a pipeline that truncates takes a text of any length; a limit of 0 says that nobody knew it."""
    config = transformers.BertConfig(**SMALL | {"num_hidden_layers": 1})
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    tiny_tokenizer(tmp_path / "bert")
    file = tmp_path / "bert" / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": own}))
    family, checkpoint = TextEncoder(), tiny_contender(tmp_path / "bert").checkpoint
    tokenizer = family.load_processor(checkpoint)
    assert family.limits(checkpoint.path, tokenizer) == {"max_length": limit}
    model = family.load(checkpoint, "sequence-classification", SCHEMA, RECIPE)
    family.save(model, tokenizer, tmp_path / "shipped")
    classify = transformers.pipeline("text-classification", str(tmp_path / "shipped"), truncation=True)
    assert classify.tokenizer.model_max_length == limit
    assert classify("refund please " * 100)[0]["label"] in SCHEMA.classes
    assert classify({"text": "refund " * 60, "text_pair": "please " * 60})["label"] in SCHEMA.classes


def test_a_tokenizer_without_a_padding_token_takes_the_one_among_its_words(tmp_path: Path) -> None:
    """So that the shipped model answers several texts at once in a pipeline."""
    tiny_tokenizer(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.pad_token = None
    assert TextEncoder().prepare_tokenizer(tokenizer).pad_token == "[PAD]"


def test_every_kind_that_is_claimed_is_tested() -> None:
    assert {kind.split()[0] for kind in CONFIGS} == MODEL_TYPES


def test_the_embeddings_are_the_first_block_and_the_classifier_is_in_the_last(checkpoint: Checkpoint) -> None:
    model = TextEncoder().load(checkpoint, "sequence-classification", SCHEMA, RECIPE)
    by_block = TextEncoder().blocks(model).parameters()
    assert len(by_block) == (3 if checkpoint.model_type == "albert" else 5)  # its layers are one layer, run again
    assert any("embedding" in name for name, _ in by_block[0])
    assert any("classifier" in name or "head" in name for name, _ in by_block[-1])
