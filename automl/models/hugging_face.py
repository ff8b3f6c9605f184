"""What families of Hugging Face models share: a config with a fresh head, weights from disk alone, silence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import dropout

from automl.errors import CheckpointError, one_line
from automl.models.weight_fit import WeightFit, judge, stored_shapes, wrappers_of
from automl.types import Checkpoint, Schema

_SMALL_ENOUGH = 300_000_000
"""Parameters of a model that an older transformers fills with random numbers within seconds."""


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


def load_weights(auto: Any, checkpoint: Checkpoint, config: Any) -> tuple[nn.Module, WeightFit]:
    """The checkpoint under a head, in float32, and how its weights fit. auto: an Auto class.

    Raises CheckpointError where the body would not be the one that was pretrained.
    """
    model, fit = _load(auto.from_pretrained, checkpoint, checkpoint.path, config, "")
    if fit.missing:
        stored = stored_shapes(checkpoint)
        wrappers = wrappers_of(stored, fit.body, fit.prefix)
        if len(wrappers) == 1:
            model, fit = _load(auto.from_pretrained, checkpoint, checkpoint.path, config, wrappers[0])
        _refuse(fit, checkpoint, stored)
    _refuse(fit, checkpoint, ())
    return model, fit


def fit_of_files(auto: Any, checkpoint: Checkpoint, config: Any) -> WeightFit | None:
    """How the weights would fit, by the names and shapes in the files alone: no number is read.

    None where an older transformers would fill a large model with random numbers to find out; loading judges it then.
    Raises CheckpointError where they do not fit.
    """
    quiet()
    if not _starts_without_numbers() and checkpoint.parameters > _SMALL_ENOUGH:
        return None
    shapes = stored_shapes(checkpoint)
    with torch.random.fork_rng(devices=[]):
        with _told(checkpoint), torch.device("meta" if _starts_without_numbers() else "cpu"):
            empty = auto.from_config(config)
        body = judge(empty, {"missing_keys": (), "mismatched_keys": (), "unexpected_keys": ()})
        wrappers = wrappers_of(shapes, body.body, body.prefix)
        # one zero each, seen as the whole tensor: transformers' own loading finds the names, and nothing is copied
        stand_ins = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
        wrapper = wrappers[0] if len(wrappers) == 1 else ""
        _, fit = _load(type(empty).from_pretrained, checkpoint, None, config, wrapper, state_dict=stand_ins)
    _refuse(fit, checkpoint, shapes)
    return fit


def _load(
    from_pretrained: Any, checkpoint: Checkpoint, place: str | None, config: Any, wrapper: str, **options: Any
) -> tuple[nn.Module, WeightFit]:
    quiet()
    with _told(checkpoint):
        model, info = from_pretrained(
            place,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # many bring a head of their own; what else does not fit is refused
            key_mapping={f"^{re.escape(wrapper)}": ""} if wrapper else None,
            **_in_float32(),
            **options,
        )
    return model, judge(model, info, wrapper)


@contextmanager
def _told(checkpoint: Checkpoint) -> Iterator[None]:
    """Raises CheckpointError where transformers cannot build or load: a config that contradicts itself, a package
    that quantized weights need, files that are no weights."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, ImportError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{checkpoint.name} cannot be loaded: {one_line(error)[:300]}",
            "weights that transformers can put under a classification head",
            "Check the folder, or name another model with --models",
        ) from error


def _refuse(fit: WeightFit, checkpoint: Checkpoint, stored: Iterable[str]) -> None:
    if (problem := fit.problem(checkpoint, stored)) is not None:
        raise problem


def _version() -> tuple[int, int]:
    import transformers

    major, minor = transformers.__version__.split(".")[:2]
    return int(major), int(minor)


def _in_float32() -> dict[str, Any]:
    return {"dtype" if _version() >= (4, 56) else "torch_dtype": torch.float32}


def _starts_without_numbers() -> bool:
    return _version() >= (5, 0)


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
