"""How the weights of a checkpoint fit the model that is built of them: what is missing, of another shape, unused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from os.path import commonprefix
from pathlib import Path
from typing import Any

import torch
from torch import nn

from automl.errors import CheckpointError
from automl.models.weights import read_header, weight_files
from automl.types import Checkpoint

READ_BYTES = 4 << 30
"""So much of a checkpoint's weights is looked through for values that are no numbers, small tensors first."""
_SHOWN = 3
_STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True, kw_only=True)
class WeightFit:
    """Names are those of the model; the body is what was pretrained: all but the head, the pooler and mask tokens.

    missing: weights of the body that no file holds. mismatched: those of another shape, as text.
    unused: weights in the files that look like the body's and have no place in the model.
    old_classes: how many classes the checkpoint's own head knows, None where it brings none.
    wrapper: what stands before every name in the files and is taken off. rows: how many tokens the embeddings hold.
    """

    prefix: str
    body: frozenset[str]
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]
    unused: tuple[str, ...]
    old_classes: int | None
    wrapper: str = ""
    rows: int | None = None

    def problem(self, checkpoint: Checkpoint, stored: Iterable[str]) -> CheckpointError | None:
        """Why the model would not be the one that its name says; stored: the names in its files."""
        if self.missing:
            return CheckpointError(
                f"{checkpoint.name}: {len(self.missing):,} of the {len(self.body):,} weights of the model's body are "
                f"in none of its files ({shown(self.missing)}); {self._names_there(sorted(stored))}",
                "every weight of the architecture in config.json: those missing would start at random under this "
                "model's name",
                "Save or copy the model again, or name another with --models",
            )
        if self.mismatched:
            return CheckpointError(
                f"{checkpoint.name}: {len(self.mismatched):,} weights have another shape in its files than "
                f"config.json says ({shown(self.mismatched)})",
                "weights and config.json of one model",
                "Copy both from the same place, or name another model with --models",
            )
        return None

    def _names_there(self, stored: list[str]) -> str:
        if len(several := wrappers_of(stored, self.body, self.prefix)) > 1:
            return f"the files hold such a model {len(several)} times, behind {', '.join(map(repr, several))}"
        if not stored:
            return "there is no tensor with a name in them"
        begin = commonprefix(stored).rpartition(".")[0]
        return f"the files' names begin with '{begin}.'" if begin else f"the files hold {shown(stored)}"


def judge(model: nn.Module, info: Mapping[str, Any], wrapper: str = "") -> WeightFit:
    """The fit of a model that transformers loaded. info: what `output_loading_info=True` gave with it."""
    prefix = f"{model.base_model_prefix}."
    named = [name for name, _ in model.named_parameters()]
    named += [name for name, _ in model.named_buffers() if name.endswith(_STATISTICS)]
    body = frozenset(name for name in named if name.startswith(prefix) and _is_pretrained(name))
    missing, mismatched = set(info["missing_keys"]), {name: tuple(it) for name, *it in info["mismatched_keys"]}
    return WeightFit(
        prefix=prefix,
        body=body,
        missing=tuple(sorted(body & missing - mismatched.keys())),
        mismatched=tuple(
            f"{name}: {tuple(mismatched[name][0])} and not {tuple(mismatched[name][1])}"
            for name in sorted(body & mismatched.keys())
        ),
        unused=tuple(sorted(_like_the_body(info["unexpected_keys"], model, prefix))),
        old_classes=_old_classes(model, prefix, missing, mismatched),
        wrapper=wrapper,
        rows=_embedding_rows(model),
    )


def reset_head(model: nn.Module) -> None:
    """Let everything but the body start anew, as the architecture starts it, from torch's random state."""
    with torch.no_grad():
        for child in model.children():
            if child is model.base_model:
                continue
            for module in child.modules():
                module._is_hf_initialized = False  # type: ignore[assignment]
                for parameter in module.parameters(recurse=False):
                    parameter._is_hf_initialized = False  # type: ignore[attr-defined]
                if callable(fresh := getattr(module, "reset_parameters", None)):
                    fresh()
            child.apply(model._init_weights)  # type: ignore[arg-type]


def stored_shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """{name: shape} of every tensor in the files. Pickles are read without running code; they were allowed before."""
    found: dict[str, tuple[int, ...]] = {}
    for path in weight_files(Path(checkpoint.path), checkpoint.name, allow_pickle=True):
        if path.suffix == ".safetensors":
            found |= {name: tuple(entry["shape"]) for name, entry in read_header(path, checkpoint.name).items()}
        else:
            found |= {name: tuple(tensor.shape) for name, tensor in _unpickled(path, checkpoint.name, "meta")}
    return found


def wrappers_of(stored: Collection[str], body: Collection[str], prefix: str) -> list[str]:
    """What, taken off the stored names, makes every name of the body fit; [] where names fit as they are.

    Several where a file holds several such models, as a student and its teacher.
    """
    names = set(stored)

    def fits(wrapper: str) -> bool:
        return all(wrapper + name in names or wrapper + name.removeprefix(prefix) in names for name in body)

    if not body or fits(""):
        return []
    longest = max(body, key=len)
    ends = (f".{longest}", f".{longest.removeprefix(prefix)}")
    found = {name[: -len(end) + 1] for name in names for end in ends if name.endswith(end)}
    fitting = {wrapper for wrapper in found if fits(wrapper)}
    return sorted(fitting - {prefix} - {wrapper + prefix for wrapper in fitting})


def not_finite(checkpoint: Checkpoint, fit: WeightFit) -> list[str]:
    """Names of the body's tensors that hold NaN or infinite values, in the first READ_BYTES, small tensors first."""
    found, left = [], READ_BYTES
    for path in weight_files(Path(checkpoint.path), checkpoint.name, allow_pickle=True):
        for name, tensor in _tensors(path, checkpoint.name):
            own = name.removeprefix(fit.wrapper)
            if own not in fit.body and fit.prefix + own not in fit.body:
                continue
            left -= tensor.numel() * tensor.element_size()
            if left < 0:
                break
            if tensor.is_floating_point() and tensor.element_size() > 1 and not torch.isfinite(tensor).all():
                found.append(name)
    return found


def shown(names: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(list(names)[:_SHOWN]) + more


def _is_pretrained(name: str) -> bool:
    """A pooler is trained by some pretrainings alone, so it counts as head; a mask token serves pretraining."""
    return "pooler" not in name.split(".") and not name.endswith("mask_token")


def _like_the_body(names: Iterable[str], model: nn.Module, prefix: str) -> Iterator[str]:
    children = {name for name, _ in model.base_model.named_children()} - {"pooler"}  # type: ignore[union-attr]
    for name in names:
        own = name.removeprefix(prefix)
        if own.split(".")[0] in children and own.endswith(".weight") and _is_pretrained(own):
            yield name


def _old_classes(
    model: nn.Module, prefix: str, missing: Collection[str], mismatched: Mapping[str, Any]
) -> int | None:
    """Outputs of the last linear layer outside the body, where the files brought it."""
    linear = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear) and not n.startswith(prefix)]
    if not linear:
        return None
    name, layer = f"{linear[-1][0]}.weight", linear[-1][1]
    if name in mismatched:
        return int(mismatched[name][0][0])
    return None if name in missing else layer.out_features


def _embedding_rows(model: nn.Module) -> int | None:
    try:
        layer = model.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        return None
    return layer.num_embeddings if isinstance(layer, nn.Embedding) else None


def _tensors(path: Path, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a file, mapped, the smallest first."""
    if path.suffix != ".safetensors":
        yield from sorted(_unpickled(path, name, "cpu"), key=lambda one: one[1].numel())
        return
    from safetensors import safe_open

    sizes = {
        key: entry["data_offsets"][1] - entry["data_offsets"][0] for key, entry in read_header(path, name).items()
    }
    with safe_open(path, framework="pt") as file:
        for key in sorted(sizes, key=sizes.__getitem__):
            yield key, file.get_tensor(key)


def _unpickled(path: Path, name: str, device: str) -> list[tuple[str, torch.Tensor]]:
    try:
        held = torch.load(path, map_location=device, weights_only=True, mmap=True)
    except Exception as error:  # whatever a file that is not torch's own raises
        raise CheckpointError(
            f"{name}: {path} cannot be read without running its code ({type(error).__name__})",
            "a dictionary of tensors",
            "Save the model again as safetensors",
        ) from error
    return [(key, value) for key, value in held.items() if isinstance(value, torch.Tensor)]
