from pathlib import Path

import pytest
import torch
from torch import nn

from automl.models.blocks import Blocks, CutModel
from automl.models.text_encoder import TextEncoder
from automl.types import Schema
from tests.toys import RECIPE, tiny_bert, tiny_contender

SCHEMA = Schema(task="text-classification", inputs=("text",), target="label", classes=("a", "b"))


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Blocks:
    directory: Path = tmp_path_factory.mktemp("blocks")
    checkpoint = tiny_contender(tiny_bert(directory, layers=3)).checkpoint
    family = TextEncoder()
    model = family.load(checkpoint, "sequence-classification", SCHEMA, RECIPE).eval()
    return family.blocks(model)


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 200, (3, 7), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_every_parameter_is_in_exactly_one_block(blocks: Blocks) -> None:
    found = [id(p) for block in blocks.parameters() for _, p in block]
    assert len(found) == len(set(found))
    assert set(found) == {id(p) for p in blocks.model.parameters()}
    assert len(blocks.parameters()) == blocks.depth + 2 == 5
    assert {name.split(".")[0] for name, _ in blocks.parameters()[-1]} == {"bert", "classifier"}  # pooler, head


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_model_cut_at_a_block_gives_the_same_answer_from_stored_activations(blocks: Blocks, depth: int) -> None:
    with torch.no_grad():
        whole = blocks.model(**batch()).logits
        activations = blocks.run_until(depth, batch())
        cut = CutModel(blocks, depth)
        with cut:
            cut.prefix.activations = activations
            assert torch.equal(blocks.model(**batch()).logits, whole)
        assert torch.equal(blocks.model(**batch()).logits, whole)


def test_a_cut_model_is_put_together_again_when_training_raises(blocks: Blocks) -> None:
    before = [name for name, _ in blocks.model.named_parameters()]

    def training_that_breaks() -> None:
        with CutModel(blocks, 2):
            assert len(blocks.layer_list) == 1
            raise KeyError("broken")

    with pytest.raises(KeyError):
        training_that_breaks()
    assert [name for name, _ in blocks.model.named_parameters()] == before


def test_dropout_of_the_recipe_reaches_body_and_head(tmp_path: Path) -> None:
    checkpoint = tiny_contender(tiny_bert(tmp_path)).checkpoint
    recipe = RECIPE | {"dropout": 0.07, "head_dropout": 0.3}
    model = TextEncoder().load(checkpoint, "sequence-classification", SCHEMA, recipe)
    rates = {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    assert rates.pop("dropout") == 0.3
    assert set(rates.values()) == {0.07}
