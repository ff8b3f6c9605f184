"""Every kind of net that the family claims keeps the contract, from ResNet with its running statistics to Swin."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from automl.config import make_request
from automl.errors import CheckpointError, RequestError
from automl.models.image_classifier import CONVOLUTIONAL, TRANSFORMERS, ImageClassifier
from automl.types import Checkpoint
from tests.models.contract import FamilyContract
from tests.pictures import NETS, net_checkpoint, tiny_net


@pytest.fixture(params=sorted(NETS))
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    return net_checkpoint(tiny_net(tmp_path / "net", request.param), request.param)


class TestImageClassifier(FamilyContract):
    family = ImageClassifier()
    head = "image-classification"
    without_body_dropout = frozenset({"mobilenet_v2", "regnet", "resnet"})

    def batch(self) -> dict[str, torch.Tensor]:
        return {"pixel_values": torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))}


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
