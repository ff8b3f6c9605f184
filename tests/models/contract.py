"""What every model family must keep, tested on small real models of each kind that it claims.

A family's test file inherits `FamilyContract`, and gives it a fixture `checkpoint` (often one of many kinds).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from automl.models.base import ModelFamily
from automl.models.blocks import Blocks, CutModel
from automl.training.adapters import LORA, LoraAdapters
from automl.training.optimizer import BlockwiseOptimizer
from automl.training.recipe import Recipe
from automl.training.unfreezing import Unfreezing
from automl.types import Checkpoint, Schema
from tests.toys import RECIPE

CLASSES = ("a", "b", "c")


STEPS = [step / 10 for step in range(10)]
PHASES = {
    "a frozen half": {"frozen_share": 0.5},
    "a linear probe": {"frozen_share": 1.0},
    "the head first": {"head_only_share": 0.35},
    "a gradual release": {"head_only_share": 0.15, "release_share": 0.5},
    "a gradual release above a frozen quarter": {"frozen_share": 0.25, "release_share": 0.5},
}


def digest(values: Iterable[torch.Tensor]) -> str:
    found = hashlib.sha256()
    for value in values:
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def hashes(blocks: Blocks) -> list[str]:
    """One hash for each block 0..L, of its parameters and buffers (running statistics); last of all other buffers."""
    owned = [[b for module in blocks.modules(n) for b in module.buffers()] for n in range(blocks.depth + 1)]
    parameters = [[p for _, p in block] for block in blocks.parameters()[:-1]]
    known = {id(buffer) for buffers in owned for buffer in buffers}
    others = [buffer for buffer in blocks.model.buffers() if id(buffer) not in known]
    return [digest([*p, *b]) for p, b in zip(parameters, owned, strict=True)] + [digest(others)]


class FamilyContract:
    family: ClassVar[ModelFamily]
    head: ClassVar[str]
    task: ClassVar[str] = "toy"
    without_body_dropout: ClassVar[frozenset[str]] = frozenset()
    """Model types whose body has no dropout that a recipe could set."""

    without_head_dropout: ClassVar[frozenset[str]] = frozenset()
    """Model types whose head takes the body's dropout."""

    def batch(self) -> dict[str, torch.Tensor]:
        """Inputs of four rows."""
        raise NotImplementedError

    def load(self, checkpoint: Checkpoint, **recipe: float) -> nn.Module:
        schema = Schema(task=self.task, inputs=("x",), target="label", classes=CLASSES)
        return self.family.load(checkpoint, self.head, schema, RECIPE | recipe)

    def logits(self, model: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = model(**self.batch()).logits
        return found

    def test_it_claims_the_checkpoint_and_has_a_space_for_every_adaptation(self, checkpoint: Checkpoint) -> None:
        from automl.search.space import load_space

        assert self.head in self.family.heads
        assert self.family.claims(checkpoint)
        for adaptation in self.family.adaptations:
            if self.family.cannot(checkpoint, adaptation) is None:
                assert load_space(self.family.space_name(checkpoint), adaptation).first_trials
        assert self.family.cannot(checkpoint, "nonsense")

    def test_the_head_is_attached_fresh_and_the_body_as_it_was_pretrained(self, checkpoint: Checkpoint) -> None:
        torch.manual_seed(1)
        one = self.load(checkpoint)
        torch.manual_seed(2)
        other = self.load(checkpoint)
        assert self.logits(one.eval()).shape == (4, len(CLASSES))
        differ = {n for n, v in one.state_dict().items() if not torch.equal(v, other.state_dict()[n])}
        blocks = self.family.blocks(one)
        head = {name for name, _ in blocks.parameters()[-1]}
        assert differ
        assert differ <= head

    def test_the_head_of_a_fine_tuned_checkpoint_is_seen_in_its_files_and_never_kept(
        self, checkpoint: Checkpoint, tmp_path: Path
    ) -> None:
        """Of as many classes as now, so that it would fit; the body is read to the bit."""
        tuned = self.load(checkpoint)
        self.family.save(tuned, self.family.load_processor(checkpoint), tmp_path / "tuned")
        own = replace(checkpoint, path=str(tmp_path / "tuned"))
        schema = Schema(task=self.task, inputs=("x",), target="label", classes=CLASSES)
        before = self.family.fit_of_files(checkpoint, schema)
        fit = self.family.fit_of_files(own, schema)
        if before is None or fit is None:
            pytest.skip("the family loads its weights in a way of its own")
        assert before.body == fit.body
        for found in (before, fit):
            assert (found.missing, found.mismatched, found.unused, found.wrapper) == ((), (), (), "")
        assert fit.old_classes == len(CLASSES)
        one = self.load(own)
        loaded, kept = one.state_dict(), tuned.state_dict()
        changed = {name for name, value in loaded.items() if not torch.equal(value, kept[name])}
        head = {name for name, _ in self.family.blocks(one).parameters()[-1]}
        assert changed <= head - fit.body
        assert changed >= {name for name, value in loaded.items() if value.ndim == 2 and len(value) == len(CLASSES)}

    def test_blocks_cover_every_parameter_once_and_run_in_order(self, checkpoint: Checkpoint) -> None:
        model = self.load(checkpoint).eval()
        blocks = self.family.blocks(model)
        named = [name for block in blocks.parameters() for name, _ in block]
        assert sorted(named) == sorted(name for name, _ in model.named_parameters())
        assert all(blocks.parameters())
        ran: list[int] = []
        for block in range(blocks.depth + 1):
            blocks.modules(block)[0].register_forward_hook(lambda m, i, o, block=block: ran.append(block))
        self.logits(model)
        assert [block for block, _ in groupby(ran)] == list(range(blocks.depth + 1)), "ALBERT's runs again and again"

    @pytest.mark.parametrize("place", ["stem", "first", "last"])
    def test_stored_activations_stand_in_for_the_lower_blocks(self, checkpoint: Checkpoint, place: str) -> None:
        model = self.load(checkpoint).eval()
        blocks = self.family.blocks(model)
        if not blocks.cuttable:
            pytest.skip("its activations are never stored")
        depth = {"stem": 0, "first": 1, "last": blocks.depth}[place]
        whole = self.logits(model)
        with torch.no_grad():
            activations = blocks.run_until(depth, self.batch())
        assert len(activations) == 4
        with CutModel(blocks, depth) as cut:
            cut.prefix.activations = activations
            torch.testing.assert_close(self.logits(model), whole)
        assert torch.equal(self.logits(model), whole)

    @pytest.mark.parametrize("phase", PHASES)
    def test_a_block_keeps_its_parameters_and_buffers_to_the_bit_until_its_release(
        self, checkpoint: Checkpoint, phase: str
    ) -> None:
        """And has no optimizer state before. Weight decay and dropout are on; an evaluation comes between steps."""
        model = self.load(checkpoint, dropout=0.2, head_dropout=0.2)
        blocks = self.family.blocks(model)
        recipe = Recipe.of(RECIPE | PHASES[phase] | {"learning_rate": 0.01, "weight_decay": 0.1})
        unfreezing = Unfreezing(recipe, blocks.depth)
        optimizer = BlockwiseOptimizer(blocks, recipe, unfreezing)
        untouched = hashes(blocks)
        head = [value.detach().clone() for _, value in blocks.parameters()[-1]]
        for progress in STEPS:
            optimizer.release(progress)
            optimizer.train_mode(model)
            loss = nn.functional.cross_entropy(model(**self.batch()).logits, torch.tensor([0, 1, 2, 0]))
            loss.backward()
            optimizer.step(progress)
            self.logits(model.eval())
            learning = unfreezing.first_learning_block(progress)
            assert hashes(blocks)[:learning] == untouched[:learning], f"frozen at {progress}"
            inner = optimizer._inner
            assert inner is not None
            held = {id(p) for p in inner.state} | {id(p) for group in inner.param_groups for p in group["params"]}
            frozen = {id(p) for block in blocks.parameters()[:learning] for _, p in block}
            assert not held & frozen
        bottom = unfreezing.first_learning_block(1.0)
        after = hashes(blocks)
        assert [a != b for a, b in zip(after, untouched, strict=True)] == [
            *(block >= bottom for block in range(blocks.depth + 1)), False
        ]  # fmt: skip
        assert any(not torch.equal(a, b) for a, (_, b) in zip(head, blocks.parameters()[-1], strict=True))

    def test_lora_adapts_every_block_and_nothing_else_and_merges_to_the_same_answers(
        self, checkpoint: Checkpoint
    ) -> None:
        if self.family.cannot(checkpoint, LORA) is not None:
            pytest.skip("it is not adapted so")
        model = self.load(checkpoint)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        targets = self.family.lora_targets(model)
        adapters = LoraAdapters(model, targets, RECIPE | {"lora_rank": 4, "lora_dropout": 0.0})
        assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()), (
            "statistics would run"
        )
        learning = {name: value for name, value in model.named_parameters() if value.requires_grad}
        heads = tuple(f"{head}." for head in targets.head)
        assert {n for n in learning if ".lora_" not in n} == {
            n for n, _ in model.named_parameters() if n.startswith(heads)
        }
        by_block = [any(p.requires_grad for _, p in block) for block in self.family.blocks(model).parameters()]
        assert by_block == [False] + [True] * (len(by_block) - 1), "every block but the stem"
        with torch.no_grad():
            for value in learning.values():
                nn.init.normal_(value, std=0.1)
        adapted = self.logits(model.eval())
        adapters.merge()
        torch.testing.assert_close(self.logits(model), adapted, atol=1e-4, rtol=1e-4)
        after = model.state_dict()
        assert set(after) == set(before), "a plain model again"
        changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
        assert changed == {f"{name}.weight" for name in targets.linear} | {n for n in after if n.startswith(heads)}

    def test_dropout_of_the_recipe_is_the_models_dropout(self, checkpoint: Checkpoint) -> None:
        def noisy(**recipe: float) -> bool:
            model = self.load(checkpoint, **{"dropout": 0.0, "head_dropout": 0.0, **recipe}).train()
            torch.manual_seed(0)
            drawn = [self.logits(model) for _ in range(6)]
            return any(not torch.allclose(drawn[0], other, atol=1e-6) for other in drawn)

        assert not noisy()
        assert noisy(head_dropout=0.5) == (checkpoint.model_type not in self.without_head_dropout)
        assert noisy(dropout=0.4) == (checkpoint.model_type not in self.without_body_dropout)

    def test_pooled_features_have_a_row_each(self, checkpoint: Checkpoint) -> None:
        model = self.load(checkpoint).eval()
        with torch.no_grad():
            features = self.family.pooled(model, {**self.batch(), "labels": torch.zeros(4)})
        assert features.dtype == torch.float32
        assert features.ndim == 2
        assert len(features) == 4
        assert torch.isfinite(features).all()

    def test_a_saved_model_is_opened_with_its_labels(self, checkpoint: Checkpoint, tmp_path: Path) -> None:
        model = self.load(checkpoint).eval()
        processor: Any = self.family.load_processor(checkpoint)
        self.family.save(model, processor, tmp_path / "saved")
        assert not list((tmp_path / "saved").glob("*.bin")), "nothing that must be unpickled"
        opened, its_processor = self.family.open(tmp_path / "saved")
        assert dict(opened.config.id2label) == dict(enumerate(CLASSES))  # type: ignore[union-attr, arg-type]
        kept, found = model.state_dict(), opened.state_dict()
        assert set(found) == set(kept)
        assert all(torch.equal(found[name], value) for name, value in kept.items())
        torch.testing.assert_close(self.logits(opened.eval()), self.logits(model))
        assert type(its_processor) is type(processor)
        limits = [self.family.limits(place, processor) for place in (checkpoint.path, str(tmp_path / "saved"))]
        assert limits[0] == limits[1]
