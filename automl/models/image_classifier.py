"""Image classifiers (ResNet, ConvNeXt, MobileNet, EfficientNet, ViT, DeiT, DINOv2, Swin and their likes)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from automl.errors import CheckpointError
from automl.models.base import LoraTargets, ModelFamily
from automl.models.blocks import Blocks, others_in
from automl.models.hugging_face import (
    drop_features,
    fit_of_files,
    head_config,
    load_weights,
    open_weights,
    quiet,
)
from automl.models.weight_fit import WeightFit
from automl.types import Checkpoint, Schema

CONVOLUTIONAL = frozenset(
    {"bit", "convnext", "convnextv2", "efficientnet", "mobilenet_v1", "mobilenet_v2", "regnet", "resnet"}
)  # fmt: skip
TRANSFORMERS = frozenset(
    {"beit", "deit", "dinov2", "dinov2_with_registers", "swin", "swinv2", "vit", "vit_msn"}
)  # fmt: skip
_NOT_CUTTABLE = frozenset({"beit", "swin", "swinv2"})
"""Beside the hidden states, their forwards hand the size of the grid up, which no stored activation holds."""
_NORM_AFTER_POOLING = frozenset({"convnext", "convnextv2"})

_STEMS = ("embeddings", "embedder", "conv_stem")
_LAYERS = ("layers", "layer", "encoder.layer", "encoder.layers", "encoder.stages", "encoder.blocks")
_TOPS = ("encoder.top_conv", "encoder.top_bn", "conv_1x1", "norm", "layernorm")
_BODY_DROPOUTS = ("drop_path_rate", "drop_connect_rate", "hidden_dropout_prob")
"""The first that a config has takes the recipe's dropout: whole paths where a net drops them, else single units."""
_HEAD_DROPOUTS = ("classifier_dropout_prob", "dropout_rate")


class ImageClassifier(ModelFamily):
    name = "image_classifier"
    heads = frozenset({"image-classification"})
    adaptations = frozenset({"full", "frozen", "lora"})

    def claims(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.model_type in CONVOLUTIONAL | TRANSFORMERS

    def space_name(self, checkpoint: Checkpoint) -> str:
        return f"image_classifier_{'cnn' if checkpoint.model_type in CONVOLUTIONAL else 'vit'}"

    def cannot(self, checkpoint: Checkpoint, adaptation: str) -> str | None:
        if adaptation == "lora" and checkpoint.model_type in CONVOLUTIONAL:
            return f"LoRA adapts linear layers, and the layers of a {checkpoint.model_type} are convolutions"
        return super().cannot(checkpoint, adaptation)

    def load_processor(self, checkpoint: Checkpoint) -> Any:
        try:
            return _open_processor(checkpoint.path)
        except (OSError, ValueError, ImportError) as error:
            raise CheckpointError(
                f"the image processor of {checkpoint.name} cannot be loaded: {' '.join(str(error).split())[:300]}",
                "preprocessor_config.json beside the weights",
                "Copy it into the model's folder",
            ) from error

    def fit_of_files(self, checkpoint: Checkpoint, schema: Schema) -> WeightFit | None:
        from transformers import AutoModelForImageClassification

        return fit_of_files(AutoModelForImageClassification, checkpoint, head_config(checkpoint, schema))

    def limits(self, model_directory: str, processor: Any) -> dict[str, int]:
        return {}  # the processor brings every picture to the model's size

    def padding(self, processor: Any) -> dict[str, int]:
        return {}

    def load(self, checkpoint: Checkpoint, head: str, schema: Schema, recipe: Mapping[str, Any]) -> nn.Module:
        from transformers import AutoModelForImageClassification

        config = head_config(checkpoint, schema)
        taken = next((name for name in _BODY_DROPOUTS if hasattr(config, name)), None)
        if taken is not None:
            setattr(config, taken, float(recipe["dropout"]))
        for name in _HEAD_DROPOUTS:
            if hasattr(config, name):
                setattr(config, name, 0.0)  # the same dropout before every head, see drop_features
        model, _ = load_weights(AutoModelForImageClassification, checkpoint, config)
        # nearly every checkpoint brings the head of ImageNet's classes; this one is fresh even where that would fit
        for last in _heads(model):
            nn.init.trunc_normal_(last.weight, std=0.02)
            nn.init.zeros_(last.bias)
            drop_features(last, float(recipe["head_dropout"]))
        _average_statistics(model)
        return model

    def blocks(self, model: nn.Module) -> Blocks:
        body: nn.Module = model.base_model  # type: ignore[assignment]
        stem = [found for name in _STEMS if (found := _inside(body, name)) is not None]
        layers = next(found for name in _LAYERS if isinstance(found := _inside(body, name), nn.ModuleList))
        top = [found for name in _TOPS if (found := _inside(body, name)) is not None]
        assert stem, f"{type(model).__name__} has no stem to speak of"
        kind = str(getattr(model.config, "model_type", ""))
        if kind in _NORM_AFTER_POOLING:
            top = []
        return Blocks(
            model=model,
            stem=tuple(stem),
            layers=tuple(layers),
            layer_list=layers,
            top=tuple(top),
            beside=tuple((len(layers), module) for module in others_in(body, [*stem, layers, *top])),
            cuttable=kind not in _NOT_CUTTABLE,
        )

    def lora_targets(self, model: nn.Module) -> LoraTargets:
        """Every linear layer of the blocks; what is not in the body is the head."""
        children = [(name, child) for name, child in model.named_children() if child is not model.base_model]
        head = tuple(name for name, child in children if any(True for _ in child.parameters()))
        return LoraTargets(self.blocks(model).linear_layers(), head)

    def pooled(self, model: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What the head sees."""
        seen: list[torch.Tensor] = []
        handle = _last_linear(model).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        try:
            model(**{name: value for name, value in batch.items() if name != "labels"})
        finally:
            handle.remove()
        return seen[0].flatten(1).float()

    def save(self, model: nn.Module, processor: Any, directory: Path) -> None:
        model.save_pretrained(directory)  # type: ignore[operator]
        processor.save_pretrained(directory)

    def open(self, directory: Path) -> tuple[nn.Module, Any]:
        from transformers import AutoModelForImageClassification

        return open_weights(AutoModelForImageClassification, directory), _open_processor(directory)


def _open_processor(directory: Path | str) -> Any:
    """The checkpoint's image processor on Pillow: the same numbers with and without torchvision installed."""
    import transformers

    quiet()
    major = int(transformers.__version__.split(".")[0])
    pillow: dict[str, Any] = {"backend": "pil"} if major >= 5 else {"use_fast": False}
    return transformers.AutoImageProcessor.from_pretrained(
        directory, local_files_only=True, trust_remote_code=False, **pillow
    )


def _inside(body: nn.Module, name: str) -> nn.Module | None:
    """The submodule of that name, None where there is none."""
    found: Any = body
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, nn.Module) else None


def _heads(model: nn.Module) -> list[nn.Linear]:
    """The linear layers outside the body: one, or two where a DeiT learnt from a teacher."""
    outside = [child for child in model.children() if child is not model.base_model]
    return [module for child in outside for module in child.modules() if isinstance(module, nn.Linear)]


def _last_linear(model: nn.Module) -> nn.Linear:
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]


def _average_statistics(model: nn.Module) -> None:
    """Running statistics over some ten batches.

    EfficientNet and MobileNetV2 hand TensorFlow's 0.99 to torch, where it leaves next to nothing but the last batch:
    scores would hang on which rows that held.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and (module.momentum or 0.0) > 0.5:
            module.momentum = 0.1
