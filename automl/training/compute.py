"""How a model is computed, not what: activations computed twice instead of kept, kernels compiled for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from automl.training.memory import is_out_of_memory

COMPILER: Any = "inductor"


def recompute_activations(model: nn.Module, notes: list[str]) -> None:
    """Keep only every layer's input for the backward pass, where the model can do that; else note why not.

    Layers in eval mode, which the frozen ones are, keep nothing anyway and are left alone.
    """
    if not getattr(model, "supports_gradient_checkpointing", False):
        notes.append(f"gradient checkpointing is off: {type(model).__name__} does not support it")
        return
    enable: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    # that asks for gradients of the embeddings' output, which only the reentrant kind needs: the backward pass
    # would run down through every frozen layer
    model.disable_input_require_grads()  # type: ignore[operator]


class Compiled:
    """Calls a model as compiled by torch.compile; where that fails, the model as it is, with a note."""

    def __init__(self, model: nn.Module, notes: list[str]) -> None:
        self._model, self._notes = model, notes
        self._compiled: Any = torch.compile(model, backend=COMPILER, dynamic=True)

    def __call__(self, **batch: torch.Tensor) -> Any:
        if self._compiled is not None:
            try:
                return self._compiled(**batch)
            except Exception as problem:  # whatever is no fault of the compiler, the model raises again below
                if is_out_of_memory(problem):
                    raise
                reason = " ".join(str(problem).split())[:200]
                self._notes.append(f"the model is not compiled: {type(problem).__name__}: {reason}")
                self._compiled = None
        return self._model(**batch)
