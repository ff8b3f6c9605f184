"""Two real workers, each with half of a model, train what two with whole ones do; what they leave is whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from automl.config import make_request
from automl.errors import CheckpointError, RequestError
from automl.models.blocks import Blocks
from automl.training import fit
from automl.training.clock import SlotClock
from automl.training.fit import Training
from automl.training.sharding import shard_model, with_fewer_rows
from automl.types import TrialSpec
from tests.training.pair import Paired
from tests.training.test_exchange import QUIET, RELEASE, Scenes, same

SGD = {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9}
VARIANTS: dict[str, dict[str, Any]] = {
    # seven rows are two pieces for one worker and would be one for the other
    "pieces": {"recipe": QUIET | {"gradient_clip": 0.05}, "micro_batch": 3, "gradient_checkpointing": True},
    "release": {"recipe": RELEASE | {"frozen_share": 0.5} | SGD},
    "adapters": {"recipe": {"lora_rank": 4, "lora_dropout": 0.1}, "adaptation": "lora"},
}


class ShardedScenes(Scenes):
    """Short ones, whose last batch is one row: the second worker has none."""

    def play_later(self, name: str, shard: bool, folder: str = "", adaptation: str = "full", **changes: Any) -> None:
        rows = len(self._prepared.split.train)
        horizon = 3 * rows // 2 - (3 * rows // 2 - rows) % 8 + 1
        told = {key: changes.pop(key) for key in ("stop_after", "most_rows", "autocast") if key in changes}
        rungs = (horizon // 3, horizon)
        spec = self.spec(folder or name, changes.pop("recipe"), horizon_samples=horizon, rungs=rungs, **changes)
        contender = replace(spec.contender, name=f"tiny/{adaptation}", adaptation=adaptation)
        spec = replace(spec, shard=shard, contender=contender)
        self.scenes.append({"name": name, "spec": spec.to_json(), "stop_after": None, **told})

    def checkpoint(self, folder: str) -> dict[str, Any]:
        (file,) = (self.directory / folder / "checkpoints").glob("*.resume.pt")
        found: dict[str, Any] = torch.load(file, weights_only=True)
        return found

    def shipped(self, folder: str) -> Path:
        return self.directory / folder / "checkpoints" / "tiny-full-000"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> ShardedScenes:
    found = ShardedScenes(tmp_path_factory.mktemp("sharded"))
    for name, changes in VARIANTS.items():
        found.play_later(f"{name}-whole", False, **changes)
        found.play_later(f"{name}-shards", True, **changes)
    found.play_later("bfloat16", True, recipe=RELEASE, autocast=torch.bfloat16)
    found.play_later("left-whole", False, recipe=RELEASE, stop_after=2)
    found.play_later("left-shards", True, recipe=RELEASE, stop_after=2)
    found.play_later("undisturbed", True, recipe=RELEASE, kind="final")
    found.play_later("stopped", True, recipe=RELEASE, folder="resumed", kind="final", stop_after=2)
    found.play_later("resumed", True, recipe=RELEASE, folder="resumed", kind="final")
    found.play_later("memory", True, recipe=QUIET, most_rows={1: 2})  # the last: nobody speaks with anybody any more
    found.play()
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_a_model_in_shards_learns_what_a_whole_one_does(scenes: ShardedScenes, name: str) -> None:
    """To the rounding of float32: clipped, in pieces of unequal number, with releases, frozen blocks, adapters."""
    whole, shards = scenes.both(f"{name}-whole")[0], scenes.both(f"{name}-shards")
    assert shards[0]["curve"] == shards[1]["curve"]
    assert same(shards[0]["model"], shards[1]["model"])
    assert shards[0]["model"].keys() == whole["model"].keys()
    for parameter, value in whole["model"].items():
        torch.testing.assert_close(shards[0]["model"][parameter], value, atol=1e-5, rtol=1e-4, msg=parameter)
    for mine, theirs in zip(shards[0]["curve"], whole["curve"], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)
    np.testing.assert_allclose(shards[0]["predictions"], whole["predictions"], atol=1e-5)


def test_what_is_learnt_is_far_more_than_what_shards_and_whole_models_may_differ_by(scenes: ShardedScenes) -> None:
    """Else two that stand still would agree as well."""
    start = load_file(scenes.directory / "bert" / "model.safetensors")
    learnt = scenes.both("pieces-shards")[0]["model"]
    for name in ("embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.weight"):
        assert (learnt[f"bert.{name}"] - start[name]).abs().max() > 1e-3


@pytest.mark.parametrize("name", VARIANTS)
def test_each_worker_holds_half_of_the_parameters_and_of_the_moments(scenes: ShardedScenes, name: str) -> None:
    whole, halves = scenes.both(f"{name}-whole")[0]["held"], [one["held"] for one in scenes.both(f"{name}-shards")]
    for what in ("parameters", "moments"):
        assert whole[what] > 0
        assert sum(half[what] for half in halves) == whole[what]
        assert max(half[what] for half in halves) < 0.51 * whole[what]


def test_in_bfloat16_the_curve_stays_close(scenes: ShardedScenes) -> None:
    """With blocks that are released in the middle: what is summed up of theirs is float32 too."""
    for mine, theirs in zip(scenes.both("bfloat16")[0]["curve"], scenes.both("undisturbed")[0]["curve"], strict=True):
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.02)


def test_frozen_blocks_of_a_model_in_shards_run_every_time_and_a_note_says_so(scenes: ShardedScenes) -> None:
    notes = scenes.both("release-shards")[0]["notes"]
    assert notes == ["frozen activations are computed anew each time: the model is in shards"]
    assert scenes.both("release-whole")[0]["notes"] == []


def test_the_checkpoint_of_shards_is_that_of_a_whole_training(scenes: ShardedScenes) -> None:
    """In the middle of a release; so a training without shards can take it up as well."""
    assert [one["ended"] for one in scenes.both("left-shards")] == ["InterruptedError"] * 2
    whole, shards = scenes.checkpoint("left-whole"), scenes.checkpoint("left-shards")
    assert shards.keys() == whole.keys()
    assert shards["optimizer"]["releases"] == whole["optimizer"]["releases"]
    moments = [one["optimizer"]["inner"]["state"] for one in (shards, whole)]
    assert moments[0]
    torch.testing.assert_close(moments[0], moments[1], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(shards["parameters"], whole["parameters"], atol=1e-6, rtol=1e-4)


def test_a_training_in_shards_goes_on_from_its_checkpoint_bit_for_bit(scenes: ShardedScenes) -> None:
    assert [one["ended"] for one in scenes.both("stopped")] == ["InterruptedError"] * 2
    undisturbed, resumed = scenes.both("undisturbed")[0], scenes.both("resumed")[0]
    assert 0 < len(resumed["curve"]) < len(undisturbed["curve"])
    assert resumed["curve"] == undisturbed["curve"][-len(resumed["curve"]) :]
    one, other = (load_file(scenes.shipped(name) / "model.safetensors") for name in ("undisturbed", "resumed"))
    assert one.keys() == other.keys()
    assert same(one, other)


def test_the_model_that_is_kept_is_a_whole_one_and_predicts_what_was_written_down(
    scenes: ShardedScenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "autocast_dtype", lambda device: None)
    (scene,) = (scene for scene in scenes.scenes if scene["name"] == "undisturbed")
    training = Training(TrialSpec.from_json(scene["spec"]), Paired(0, 1), SlotClock(None))
    training._set_up()
    model, _ = training.family.open(scenes.shipped("undisturbed"))
    assert model.config.architectures == ["BertForSequenceClassification"]
    assert sum(parameter.numel() for parameter in model.parameters()) == 30_019
    training.model = model
    written = np.load(scenes.directory / "undisturbed" / "predictions" / "tiny-full-000.npz")
    np.testing.assert_allclose(training.predict(training.validation), written["validation"], atol=1e-6)


def test_memory_that_one_worker_lacks_ends_both_and_nobody_waits_for_ever(scenes: ShardedScenes) -> None:
    assert [one["ended"] for one in scenes.both("memory")] == ["exchange broke", "MemoryError"]


def test_the_next_attempt_takes_half_of_the_rows_down_to_one(scenes: ShardedScenes) -> None:
    spec: TrialSpec | None = scenes.spec("never", {"batch_size": 11})
    assert spec is not None
    assert with_fewer_rows(spec, 2) is None  # a whole model halves by itself
    spec = replace(spec, shard=True)
    assert with_fewer_rows(spec, 1) is None
    found = []
    while (spec := with_fewer_rows(spec, 2)) is not None:
        found.append(spec.micro_batch)
    assert found == [3, 2, 1]
    assert with_fewer_rows(replace(scenes.spec("never", {}), shard=True, micro_batch=64), 2).micro_batch == 2  # type: ignore[union-attr]


def test_a_model_whose_blocks_share_a_weight_is_refused_before_anything_is_cut() -> None:
    model = nn.Module()
    model.stem, model.layers = nn.Linear(4, 4), nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    blocks = Blocks(model=model, stem=(model.stem,), layers=tuple(model.layers), layer_list=model.layers)
    model.layers[1].weight = model.stem.weight
    with pytest.raises(CheckpointError, match=r"share.*blocks have weights of their own.*--shard"):
        shard_model(blocks, Paired(0, 2), None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "--workers 2 or more"),
        ({"workers": 2, "compile": True}, "leave one out"),
        ({"workers": 2, "workers_mode": "group"}, "leave --workers-mode out"),
    ],
)
def test_what_does_not_go_with_shards_is_refused_in_the_request(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        make_request({"source": "reviews.csv", "shard": True, **options})
    assert make_request({"source": "reviews.csv", "shard": True, "workers": 2}).shard
