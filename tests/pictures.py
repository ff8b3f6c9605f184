"""Pictures made on the spot: a coloured shape on a noisy ground, its kind the class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from automl.config import make_request
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared
from automl.types import Checkpoint, Contender, PreparedData

CLASSES = ("circle", "square", "bar")


def picture(kind: str, seed: int, size: int = 32) -> Image.Image:
    """A bright shape of that kind, its place, size and ground from the seed."""
    generator = np.random.default_rng([seed, CLASSES.index(kind)])
    ground = generator.integers(0, 70, size=(size, size, 3), dtype=np.uint8)
    image = Image.fromarray(ground)
    draw = ImageDraw.Draw(image)
    half = int(generator.integers(6, 10))
    x, y = (int(v) for v in generator.integers(half + 1, size - half - 1, size=2))
    colour = {"circle": (230, 60, 40), "square": (50, 210, 70), "bar": (60, 90, 240)}[kind]
    if kind == "circle":
        draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)
    elif kind == "square":
        draw.rectangle((x - half, y - half, x + half, y + half), fill=colour)
    else:
        draw.rectangle((x - 2, 0, x + 2, size), fill=colour)
    return image


def write_pictures(folder: Path, each: int, start: int = 0, classes: tuple[str, ...] = CLASSES) -> Path:
    """`each` different pictures of each class in class folders, as PNG."""
    for kind in classes:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(start, start + each):
            picture(kind, number).save(folder / kind / f"{number:03}.png")
    return folder


SMALL: dict[str, object] = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
}
SMALL |= {"intermediate_size": 32}
STAGES: dict[str, object] = {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 2, 1]}
WINDOWS: dict[str, object] = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "window_size": 2}
WINDOWS |= {"depths": [1, 1, 2], "num_heads": [1, 2, 2]}
SCALED: dict[str, object] = {"width_coefficient": 0.25, "depth_coefficient": 0.6, "hidden_dim": 320}
SCALED |= {"initializer_range": 0.3}
NETS: dict[str, tuple[str, dict[str, object]]] = {
    # model type: the config's class, and what makes it small
    "beit": ("BeitConfig", SMALL | {"use_relative_position_bias": True}),
    "bit": ("BitConfig", STAGES | {"embedding_size": 8, "num_groups": 2}),
    "convnext": ("ConvNextConfig", STAGES | {"layer_scale_init_value": 1.0}),
    "convnextv2": ("ConvNextV2Config", STAGES),
    "deit": ("DeiTConfig", SMALL),
    "dinov2": ("Dinov2Config", SMALL | {"mlp_ratio": 2}),
    "dinov2_with_registers": ("Dinov2WithRegistersConfig", SMALL | {"mlp_ratio": 2}),
    "efficientnet": ("EfficientNetConfig", SCALED),
    "mobilenet_v1": ("MobileNetV1Config", {"depth_multiplier": 0.25, "initializer_range": 0.3}),
    "mobilenet_v2": ("MobileNetV2Config", {"depth_multiplier": 0.25}),
    "regnet": ("RegNetConfig", STAGES | {"embedding_size": 8, "groups_width": 4}),
    "resnet": ("ResNetConfig", STAGES | {"embedding_size": 8, "layer_type": "basic"}),
    "swin": ("SwinConfig", WINDOWS),
    "swinv2": ("Swinv2Config", WINDOWS),
    "vit": ("ViTConfig", SMALL),
    "vit_msn": ("ViTMSNConfig", SMALL),
}  # fmt: skip


def tiny_net(directory: Path, kind: str = "resnet", seed: int = 0) -> Path:
    """A net of some thousand parameters in Hugging Face layout, with a head of other classes and its processor."""
    import torch
    import transformers

    config_class, values = NETS[kind]
    torch.manual_seed(seed)
    config = getattr(transformers, config_class)(**values, num_labels=7)
    net = getattr(transformers, config_class.replace("Config", "ForImageClassification"))
    net(config).save_pretrained(directory)
    processor = transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}, image_mean=[0.4, 0.5, 0.6])
    processor.save_pretrained(directory)
    return directory


def net_checkpoint(directory: Path, kind: str = "resnet") -> Checkpoint:
    return Checkpoint(
        name=str(directory),
        path=str(directory),
        revision="toy",
        kind="folder",
        architecture=NETS[kind][0].replace("Config", "ForImageClassification"),
        model_type=kind,
        parameters=30_000,
    )


def net_contender(directory: Path, kind: str = "resnet", adaptation: str = "full") -> Contender:
    checkpoint = net_checkpoint(directory, kind)
    return Contender(
        name=f"tiny/{adaptation}", checkpoint=checkpoint, family="image_classifier", adaptation=adaptation
    )


def prepared_pictures(directory: Path, each: int = 30) -> PreparedData:
    """Prepared data of toy pictures, in directory/data."""
    source = write_pictures(directory / "shapes", each)
    (directory / "data").mkdir()
    prepare(make_request({"source": str(source)}), directory / "data")
    return load_prepared(directory / "data")
