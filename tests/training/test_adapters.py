"""LoRA on a toy BERT: what learns, what stays to the bit, and that the merged model says the same."""

from __future__ import annotations

import hashlib
import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.errors import CheckpointError, MissingExtra
from automl.models.base import ADAPTER_FOLDER, LoraTargets
from automl.models.text_encoder import TextEncoder
from automl.training import fit
from automl.training.adapters import ALPHA, LORA, LoraAdapters, require_peft
from automl.training.clock import SlotClock
from automl.training.fit import Training
from automl.types import Contender, PreparedData, TrialSpec
from tests.pictures import net_contender, prepared_pictures, tiny_net
from tests.toys import prepared_messages, tiny_bert, tiny_contender, trial_spec
from tests.training.test_fit import Alone, run

LORA_RECIPE = {"learning_rate": 3e-3, "bottom_lr_ratio": 1.0, "lora_rank": 16, "lora_dropout": 0.05}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Contender, PreparedData]:
    directory = tmp_path_factory.mktemp("lora")
    return tiny_contender(tiny_bert(directory / "bert", layers=3), LORA), prepared_messages(directory / "run")


def spec_of(world: tuple[Contender, PreparedData], directory: Path, **changes: Any) -> TrialSpec:
    contender, prepared = world
    recipe = LORA_RECIPE | changes.pop("recipe", {})
    return trial_spec(directory, contender, prepared, recipe=recipe, **{"id": "tiny-lora-000", **changes})


def untrained(spec: TrialSpec) -> Training:
    training = Training(spec, Alone(), SlotClock(None))
    training._set_up()
    return training


def body_hashes(training: Training) -> dict[str, str]:
    """A hash of every parameter and buffer that is neither adapter nor head."""
    learns = ("lora_A", "lora_B", "classifier.", "bert.pooler.")
    return {
        name: hashlib.sha256(value.numpy().tobytes()).hexdigest()
        for name, value in training.model.state_dict().items()
        if not any(part in name for part in learns)
    }


def inputs(training: Training) -> dict[str, torch.Tensor]:
    made = training._make_batch(training.validation, np.arange(8))
    return {name: value for name, value in made.items() if name != "labels"}


def test_the_loss_falls_and_validation_beats_chance(world: Any, tmp_path: Path) -> None:
    _, context = run(spec_of(world, tmp_path, epochs=20))
    curve = [report.row for report in context.reports]
    assert curve[-1]["train_loss"] < 0.8 * curve[0]["train_loss"]
    assert curve[-1]["accuracy"] > 0.45  # a third by chance


@pytest.mark.parametrize("recipe", [{}, {"head_only_share": 0.2}])
def test_the_body_keeps_every_bit_while_adapters_and_head_change(
    world: Any, tmp_path: Path, recipe: dict[str, float]
) -> None:
    spec = spec_of(world, tmp_path, recipe=recipe)
    before = untrained(spec)
    after, _ = run(spec)
    assert len(body_hashes(before)) > 40
    assert body_hashes(after) == body_hashes(before)
    changed = {
        name
        for (name, one), other in zip(before.model.named_parameters(), after.model.parameters(), strict=True)
        if not torch.equal(one, other)
    }
    learning = {name for name, parameter in after.model.named_parameters() if parameter.requires_grad}
    assert changed == learning
    assert len([name for name in changed if "lora_B" in name]) == 3 * 6, "six linear layers a block"


def test_an_untrained_adapter_changes_no_answer(world: Any, tmp_path: Path) -> None:
    training = untrained(spec_of(world, tmp_path))
    torch.manual_seed(training.spec.seed)
    plain = training.family.load(
        training.spec.contender.checkpoint, training.task.head, training.spec.schema, training.spec.recipe
    )
    plain.load_state_dict(
        {
            name.replace(".base_layer", ""): value
            for name, value in training.model.state_dict().items()
            if ".lora_" not in name
        }
    )
    with torch.no_grad():
        given = inputs(training)
        torch.testing.assert_close(training.model.eval()(**given).logits, plain.eval()(**given).logits)


def test_the_optimizer_holds_only_adapters_and_head(world: Any, tmp_path: Path) -> None:
    training, _ = run(spec_of(world, tmp_path))
    held_by = training.optimizer._inner
    assert held_by is not None
    held = {id(p) for group in held_by.param_groups for p in group["params"]}
    names = {name for name, parameter in training.model.named_parameters() if id(parameter) in held}
    assert names
    assert all(".lora_" in name or name.startswith(("classifier.", "bert.pooler.")) for name in names)
    total = sum(p.numel() for p in training.model.parameters() if id(p) in held)
    assert training.outcome.trainable_parameters == total
    assert total < training.outcome.parameters


def test_the_head_alone_learns_during_its_phase(world: Any, tmp_path: Path) -> None:
    training = Training(
        spec_of(world, tmp_path, epochs=6, recipe={"head_only_share": 0.9}), Alone(stop_after=1), SlotClock(None)
    )
    with pytest.raises(InterruptedError):
        training.run()
    products = [p for name, p in training.model.named_parameters() if ".lora_B." in name]
    assert products
    assert not any(p.any() or p.requires_grad for p in products), "B is still zero"


@pytest.mark.parametrize("recipe", [{}, {"head_only_share": 0.2}, {"frozen_share": 0.5}])
def test_an_interrupted_training_goes_on_bit_for_bit(
    world: Any, tmp_path: Path, recipe: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", 0.0)
    spec = spec_of(world, tmp_path, epochs=6, recipe=recipe)
    whole, uninterrupted = run(spec)
    with pytest.raises(InterruptedError):
        run(spec, stop_after=3)
    (file,) = (tmp_path / "checkpoints").glob("*.resume.pt")
    stored = torch.load(file, weights_only=True)["parameters"]
    assert not any(".base_layer." in name or "embeddings" in name for name in stored), "the body is not copied"
    resumed, context = run(spec)
    assert len(context.reports) < len(uninterrupted.reports)
    keys = [key for key in context.reports[-1].row if key != "device_seconds"]
    assert [context.reports[-1].row[k] for k in keys] == [uninterrupted.reports[-1].row[k] for k in keys]
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.fixture(scope="module")
def final(world: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, Path]:
    """A finished final: its training, whose model is merged by now, and the folder of its weights."""
    directory = tmp_path_factory.mktemp("final")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "autocast_dtype", lambda device: None)  # bfloat16 hides differences of 1e-5
        training, _ = run(spec_of(world, directory, epochs=6, kind="final", id="tiny-lora-final-1"))
    assert training.outcome.model_dir is not None
    return training, directory / training.outcome.model_dir


def test_the_saved_model_is_plain_and_says_what_the_adapted_one_said(final: Any) -> None:
    training, directory = final
    model, _ = TextEncoder().open(directory)
    assert not any("lora" in name or "base_layer" in name for name in model.state_dict())
    assert not hasattr(training.model, "peft_config")
    with torch.no_grad():
        said = training.task.predict(model.eval()(**inputs(training)))
    # the predictions were written before the merge
    before = np.load(training.run_directory / "predictions" / "tiny-lora-final-1.npz")["validation"][:8]
    np.testing.assert_allclose(np.asarray(said), before, atol=1e-5)


def test_merging_moves_logits_by_rounding_alone(world: Any, tmp_path: Path) -> None:
    training, _ = run(spec_of(world, tmp_path, epochs=6))
    given, adapters = inputs(training), training.adapters
    assert adapters is not None
    with torch.no_grad():
        adapted = training.model.eval()(**given).logits
        adapters.merge()
        torch.testing.assert_close(training.model.eval()(**given).logits, adapted, atol=1e-5, rtol=0)


def test_the_kept_adapter_makes_the_same_model_of_the_pretrained_weights(final: Any) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    training, directory = final
    base = AutoModelForSequenceClassification.from_pretrained(
        training.spec.contender.checkpoint.path, num_labels=3, local_files_only=True
    )
    adapted = PeftModel.from_pretrained(base, directory / ADAPTER_FOLDER)
    (config,) = adapted.peft_config.values()
    assert (config.lora_alpha, config.r, config.base_model_name_or_path) == (ALPHA, 16, None)
    merged, _ = TextEncoder().open(directory)
    with torch.no_grad():
        given = inputs(training)
        torch.testing.assert_close(adapted.eval()(**given).logits, merged.eval()(**given).logits, atol=1e-5, rtol=0)


def test_a_vit_is_adapted_to_pictures_merged_and_kept(tmp_path: Path) -> None:
    """Patches and final norm stay as they were pretrained; adapters of every layer and the head do not."""
    contender = net_contender(tiny_net(tmp_path / "net", "vit"), "vit", LORA)
    recipe = LORA_RECIPE | {"dropout": 0.0, "head_dropout": 0.0, "augmentation": "trivial"}
    spec = trial_spec(
        tmp_path,
        contender,
        prepared_pictures(tmp_path, 10),
        epochs=8,
        recipe=recipe,
        kind="final",
        id="vit-lora-final-1",
    )
    training, context = run(spec)
    curve = [report.row["train_loss"] for report in context.reports]
    assert curve[-1] < curve[0]
    plain = training.family.load(contender.checkpoint, training.task.head, spec.schema, spec.recipe).state_dict()
    opened, _ = training.family.open(tmp_path / "checkpoints" / spec.id)
    saved = opened.state_dict()
    assert set(saved) == set(plain)
    changed = {name for name, value in saved.items() if not torch.equal(value, plain[name])}
    assert {name for name in changed if "classifier" not in name} == {
        f"{name}.weight" for name in training.family.blocks(opened).linear_layers()
    }
    assert (tmp_path / "checkpoints" / spec.id / ADAPTER_FOLDER / "adapter_model.safetensors").exists()


def test_the_product_is_scaled_by_alpha_over_rank() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3, bias=False), torch.nn.Linear(3, 2))
    weight = model[0].weight.clone()
    adapters = LoraAdapters(model, LoraTargets(("0",), ("1",)), {"lora_rank": 2, "lora_dropout": 0.0})
    layer: Any = model[0]
    torch.nn.init.ones_(layer.lora_B["default"].weight)
    torch.nn.init.ones_(layer.lora_A["default"].weight)
    adapters.merge()
    torch.testing.assert_close(model[0].weight, weight + ALPHA / 2 * 2)


def test_a_model_without_linear_layers_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no linear layers"):
        LoraAdapters(torch.nn.Sequential(), LoraTargets((), ()), LORA_RECIPE)


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from automl import api

    find = importlib.util.find_spec

    def no_peft(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "peft" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", no_peft)
    monkeypatch.setattr("automl.training.adapters.find_spec", no_peft)
    with pytest.raises(MissingExtra, match=r"automl\[lora\]"):
        require_peft()
    with pytest.raises(MissingExtra, match=r"automl\[lora\]"):
        api.require_training(("full", "lora"))
    api.require_training(("full", "frozen"))
