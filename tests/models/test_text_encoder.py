"""Every kind of encoder that the family claims: blocks in order, a cut that changes nothing, a head that is fresh."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from automl.models.blocks import CutModel
from automl.models.text_encoder import MODEL_TYPES, TextEncoder
from automl.training.optimizer import BlockwiseAdamW
from automl.training.recipe import Recipe
from automl.training.unfreezing import Unfreezing
from automl.types import Checkpoint, Schema
from tests.toys import RECIPE

SCHEMA = Schema(task="text-classification", inputs=("text",), target="label", classes=("a", "b", "c"))
SMALL = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}
CONFIGS = {
    "bert": ("BertConfig", {}),
    "roberta": ("RobertaConfig", {}),
    "xlm-roberta": ("XLMRobertaConfig", {}),
    "electra": ("ElectraConfig", {"embedding_size": 16}),
    "distilbert": ("DistilBertConfig", {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 48}),
    "mpnet": ("MPNetConfig", {}),
    "deberta-v2": ("DebertaV2Config", {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "modernbert": ("ModernBertConfig", {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2}),
    "camembert": ("CamembertConfig", {}),
}


@pytest.fixture(params=sorted(CONFIGS))
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    name, extra = CONFIGS[request.param]
    torch.manual_seed(0)
    config = getattr(transformers, name)(**SMALL | extra)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
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


def load(checkpoint: Checkpoint, **recipe: float) -> torch.nn.Module:
    return TextEncoder().load(checkpoint, "sequence-classification", SCHEMA, RECIPE | recipe)


def test_the_family_claims_it_and_attaches_a_head(checkpoint: Checkpoint) -> None:
    assert checkpoint.model_type in MODEL_TYPES
    assert TextEncoder().claims(checkpoint)
    assert load(checkpoint).eval()(**batch()).logits.shape == (4, 3)


def test_blocks_cover_every_parameter_in_order(checkpoint: Checkpoint) -> None:
    blocks = TextEncoder().blocks(load(checkpoint))
    assert blocks.depth == 3
    by_block = blocks.parameters()
    assert sum(len(block) for block in by_block) == len(list(blocks.model.parameters()))
    assert all(by_block)
    assert any("embedding" in name for name, _ in by_block[0])
    assert any("classifier" in name or "head" in name for name, _ in by_block[-1])


@pytest.mark.parametrize("depth", [1, 3])
def test_stored_activations_stand_in_for_the_lower_blocks(checkpoint: Checkpoint, depth: int) -> None:
    model = load(checkpoint).eval()
    blocks = TextEncoder().blocks(model)
    with torch.no_grad():
        whole = model(**batch()).logits
        activations = blocks.run_until(depth, batch())
        with CutModel(blocks, depth) as cut:
            cut.prefix.activations = activations
            torch.testing.assert_close(model(**batch()).logits, whole)
        assert torch.equal(model(**batch()).logits, whole)


def test_dropout_of_the_recipe_is_the_models_dropout(checkpoint: Checkpoint) -> None:
    model = load(checkpoint, dropout=0.0, head_dropout=0.0).train()
    with torch.no_grad():
        assert torch.equal(model(**batch()).logits, model(**batch()).logits)
    noisy = load(checkpoint, dropout=0.4, head_dropout=0.4).train()
    with torch.no_grad():
        assert not torch.equal(noisy(**batch()).logits, noisy(**batch()).logits)


def test_a_frozen_half_keeps_its_bits_through_real_steps(checkpoint: Checkpoint) -> None:
    model = load(checkpoint)
    blocks = TextEncoder().blocks(model)
    recipe = Recipe.of(RECIPE | {"frozen_share": 0.5, "learning_rate": 0.01})
    optimizer = BlockwiseAdamW(blocks, recipe, Unfreezing(recipe, blocks.depth))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer.release(0.0)
    optimizer.train_mode(model)
    for progress in (0.2, 0.4):
        logits = model(**batch()).logits
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step(progress)
    frozen = {name for block in blocks.parameters()[:2] for name, _ in block}
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert frozen
    assert not frozen & changed
    assert {name for name, _ in blocks.parameters()[-1]} <= changed | {"classifier.bias"}


def test_a_saved_model_is_opened_with_its_labels(tmp_path: Path) -> None:
    from tests.toys import tiny_bert, tiny_contender

    family, contender = TextEncoder(), tiny_contender(tiny_bert(tmp_path / "bert"))
    model = family.load(contender.checkpoint, "sequence-classification", SCHEMA, RECIPE).eval()
    processor = family.load_processor(contender.checkpoint)
    family.save(model, processor, tmp_path / "saved")
    opened, tokenizer = family.open(tmp_path / "saved")
    assert opened.config.id2label == {0: "a", 1: "b", 2: "c"}  # type: ignore[union-attr]
    encoded = tokenizer("refund please", return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(opened.eval()(**encoded).logits, model(**encoded).logits)
