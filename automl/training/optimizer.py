"""AdamW, or SGD with momentum, whose groups appear when their block is released."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from automl.models.blocks import Blocks
from automl.training.recipe import Recipe
from automl.training.sharding import cut_like
from automl.training.unfreezing import Unfreezing


def make_optimizer(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over parameter groups that bring their own rates and decays.

    AdamW corrects its bias: without it BERT collapses on small data (Zhang et al., ICLR 2021). SGD's momentum is
    the plain one, not Nesterov's, and its weight decay is part of the gradient.
    """
    one = groups[0]["params"][0]
    fused = one.device.type in ("cpu", "cuda")
    if recipe.optimizer == "sgd":
        # torch has no fused SGD for parameters in shards
        return torch.optim.SGD(groups, momentum=recipe.momentum, fused=fused and not isinstance(one, DTensor))
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=fused)


class BlockwiseOptimizer:
    """The recipe's optimizer with one learning rate a block, over the blocks that learn now.

    A block's parameters enter at its release: before, they have no state and no weight decay. Those that
    require no gradient to begin with (a body under LoRA) never enter.
    """

    def __init__(self, blocks: Blocks, recipe: Recipe, unfreezing: Unfreezing) -> None:
        self._parameters = [[(n, p) for n, p in block if p.requires_grad] for block in blocks.parameters()]
        self._blocks, self._recipe, self._unfreezing = blocks, recipe, unfreezing
        self._bottom = len(self._parameters)
        self._inner: torch.optim.Optimizer | None = None
        self._last_release: float | None = None
        self._releases: list[float] = []

    def release(self, progress: float) -> bool:
        """Let the blocks learn that are due at this progress; True when the trainable set changed."""
        bottom = self._unfreezing.first_learning_block(progress)
        if bottom == self._bottom:
            return False
        started = self._inner is not None
        for block in range(bottom, self._bottom):
            self._add(block)
        for block in range(bottom):
            for _, parameter in self._parameters[block]:
                parameter.requires_grad_(False)
        self._bottom = bottom
        self._last_release = progress if started else None
        self._releases.append(progress)
        return True

    def _add(self, block: int) -> None:
        rate = self._recipe.step_learning_rate * self._unfreezing.learning_rate_ratio(block)
        decayed: list[torch.nn.Parameter] = []
        plain: list[torch.nn.Parameter] = []
        for _, parameter in self._parameters[block]:
            parameter.requires_grad_(True)
            (decayed if parameter.ndim >= 2 else plain).append(parameter)  # biases and norms never decay
        for parameters, decay in ((decayed, self._recipe.weight_decay), (plain, 0.0)):
            if not parameters:
                continue
            group = {"params": parameters, "weight_decay": decay, "peak": rate, "lr": rate}
            if self._inner is None:
                self._inner = make_optimizer([group], self._recipe)
            else:
                self._inner.add_param_group(group)

    def step(self, progress: float, scaler: torch.amp.GradScaler | None = None) -> Tensor:
        """Clip, take one step at this progress, clear the gradients; the gradient norm before clipping.

        The norm stays on the device: reading it would wait for the backward pass.
        scaler: what the loss was scaled with; it leaves out a step whose gradients overflowed in float16.
        """
        assert self._inner is not None
        factor = self._unfreezing.factor(progress, self._last_release)
        learning = []
        for group in self._inner.param_groups:
            group["lr"] = group["peak"] * factor
            learning.extend(group["params"])
        scaler = scaler or torch.amp.GradScaler(enabled=False)
        scaler.unscale_(self._inner)
        norm: Tensor = torch.nn.utils.clip_grad_norm_(learning, self._recipe.gradient_clip)
        scaler.step(self._inner)
        scaler.update()
        self._inner.zero_grad(set_to_none=True)
        return norm

    def skip(self) -> None:
        """Drop the gradients of a step whose loss was no number."""
        assert self._inner is not None
        self._inner.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        assert self._inner is not None
        return {
            "releases": self._releases,
            "last_release": self._last_release,
            "inner": self._inner.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Release the blocks that had been released, in the same order, and put the optimizer's state back."""
        for progress in state["releases"]:
            self.release(progress)
        self._last_release = state["last_release"]
        assert self._inner is not None
        learning = [parameter for group in self._inner.param_groups for parameter in group["params"]]
        moments = {
            place: {name: cut_like(value, learning[place]) for name, value in values.items()}
            for place, values in state["inner"]["state"].items()
        }
        self._inner.load_state_dict({**state["inner"], "state": moments})

    def train_mode(self, model: torch.nn.Module) -> None:
        """Training mode for the blocks that learn; frozen blocks stay in eval (dropout, running statistics)."""
        model.train()
        for block in range(min(self._bottom, self._blocks.depth + 1)):
            for module in self._blocks.modules(block):
                module.eval()
