"""Every kind of net that the family claims keeps the contract, from ResNet with its running statistics to Swin."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from automl.config import make_request
from automl.errors import CheckpointError, RequestError
from automl.models.image_classifier import CONVOLUTIONAL, TRANSFORMERS, ImageClassifier
from automl.types import Checkpoint, Schema
from tests.models.contract import FamilyContract
from tests.pictures import NETS, net_checkpoint, tiny_net
from tests.toys import RECIPE


@pytest.fixture(params=sorted(NETS))
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    return net_checkpoint(tiny_net(tmp_path / "net", request.param), request.param)


class TestImageClassifier(FamilyContract):
    family = ImageClassifier()
    head = "image-classification"
    without_body_dropout = frozenset({"mobilenet_v1", "mobilenet_v2", "regnet", "resnet"})

    def batch(self) -> dict[str, torch.Tensor]:
        return {"pixel_values": torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))}


@pytest.mark.parametrize("kind", sorted(CONVOLUTIONAL))
def test_running_statistics_remember_more_than_the_last_batch(kind: str, tmp_path: Path) -> None:
    schema = Schema(task="image-classification", inputs=("image",), target="label", classes=("a", "b"))
    checkpoint = net_checkpoint(tiny_net(tmp_path / "net", kind), kind)
    model = ImageClassifier().load(checkpoint, "image-classification", schema, RECIPE).train()
    running = next((m.running_mean for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)), None)
    if running is None:
        pytest.skip("it has none")
    generator = torch.Generator().manual_seed(0)
    places = []
    with torch.no_grad():
        for brightness, times in ((0.0, 60), (3.0, 1), (3.0, 60)):
            pictures = torch.randn(4, 3, 32, 32, generator=generator) + brightness
            for _ in range(times):
                model(pixel_values=pictures)
            places.append(running.clone())
    moved = (places[1] - places[0]).norm() / (places[2] - places[0]).norm()
    assert 0.02 < moved < 0.5


def test_both_heads_of_a_deit_that_learnt_from_a_teacher_are_fresh(tmp_path: Path) -> None:
    folder = tiny_net(tmp_path / "net", "deit")
    config = transformers.AutoConfig.from_pretrained(folder, num_labels=2)
    own = transformers.DeiTForImageClassificationWithTeacher(config)
    own.save_pretrained(folder)
    schema = Schema(task="image-classification", inputs=("image",), target="label", classes=("a", "b"))
    model = ImageClassifier().load(net_checkpoint(folder, "deit"), "image-classification", schema, RECIPE)
    for head in ("cls_classifier", "distillation_classifier"):
        assert not torch.equal(getattr(model, head).weight, getattr(own, head).weight)
    kept = own.state_dict()
    body = model.state_dict()
    assert all(torch.equal(body[name], value) for name, value in kept.items() if name.startswith("deit."))


def test_every_kind_that_is_claimed_is_tested() -> None:
    assert set(NETS) == CONVOLUTIONAL | TRANSFORMERS


def test_a_checkpoint_without_a_processor_is_told_in_three_parts(tmp_path: Path) -> None:
    (tiny_net(tmp_path / "net") / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="image processor of .* cannot be loaded.*; preprocessor_config.json"):
        ImageClassifier().load_processor(net_checkpoint(tmp_path / "net"))


@pytest.mark.parametrize("kind", sorted(CONVOLUTIONAL))
def test_lora_on_a_convolutional_net_is_refused_with_what_it_can_have(kind: str, tmp_path: Path) -> None:
    from automl.registry import get_part
    from automl.search.contest import find_contenders
    from automl.tasks.base import Task

    task = get_part("automl.tasks", Task, "image-classification")  # type: ignore[type-abstract]
    net = str(tiny_net(tmp_path / "net", kind))
    request = make_request({"source": str(tmp_path), "models": net, "adapt": "full,lora"})
    expected = f"--adapt lora is not known for .*the layers of a {kind} are convolutions; one of frozen, full"
    with pytest.raises(RequestError, match=expected):
        find_contenders(request, task)
