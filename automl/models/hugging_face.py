"""What families of Hugging Face models share: a config with a fresh head, weights from disk alone, silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import dropout

from automl.errors import CheckpointError
from automl.types import Checkpoint, Schema


def quiet() -> None:
    """Keep load reports and progress bars of transformers away from the user."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def head_config(checkpoint: Checkpoint, schema: Schema) -> Any:
    """The checkpoint's config with one output for every class of the schema, named after it."""
    from transformers import AutoConfig

    quiet()  # it would warn of the classes that the checkpoint itself was trained on
    return AutoConfig.from_pretrained(
        checkpoint.path,
        local_files_only=True,
        num_labels=len(schema.classes),
        id2label=dict(enumerate(schema.classes)),
        label2id={name: index for index, name in enumerate(schema.classes)},
        problem_type="single_label_classification",
    )


def load_weights(auto: Any, checkpoint: Checkpoint, config: Any, **options: Any) -> nn.Module:
    """The checkpoint under a head, in float32. auto: an Auto class. Raises CheckpointError."""
    quiet()
    try:
        model: nn.Module = auto.from_pretrained(
            checkpoint.path,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            **options,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{checkpoint.name} cannot be loaded: {' '.join(str(error).split())[:300]}",
            "weights that transformers can put under a classification head",
            "Check the folder, or name another model with --models",
        ) from error
    return model


def open_weights(auto: Any, directory: Path) -> nn.Module:
    """A model that automl shipped: safetensors alone."""
    quiet()
    model: nn.Module = auto.from_pretrained(
        directory, use_safetensors=True, local_files_only=True, trust_remote_code=False
    )
    return model


def drop_features(last: nn.Module, share: float) -> None:
    """Dropout on what the last layer sees: many heads have none, and a new module would rename weights."""
    if share > 0:
        last.register_forward_pre_hook(lambda module, inputs: (dropout(inputs[0], share, module.training),))
