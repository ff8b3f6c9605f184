"""Gradients of one global batch: over all workers, in pieces that fit into memory, whatever the pieces are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.tasks.base import Loss
from automl.training.context import Context
from automl.training.exchange import RunningStatistics, add_up_gradients, agree
from automl.training.memory import RowsAtOnce, is_out_of_memory
from automl.training.variation import VariedBatches


def place_seed(seed: int, seen: int, rank: int) -> int:
    """32 bits that a training's seed, its place and the worker decide: torch's generators take no more."""
    return int(np.random.SeedSequence((seed, seen, rank)).generate_state(1)[0])


def seed_dropout(seed: int, device: torch.device) -> None:
    """Seed what the model draws from. torch.manual_seed would do as well, but formats a stack trace each time."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def read_later(value: Tensor) -> Callable[[], float]:
    """What returns a value of one number, waiting for no more than that: work given to the device later goes on."""
    value = value.detach()
    if value.device.type != "cuda":
        return lambda: float(value)
    on_host = torch.empty((), dtype=value.dtype, pin_memory=True)
    on_host.copy_(value, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(value.device))

    def read() -> float:
        arrived.synchronize()
        return float(on_host)

    return read


class GradientStep:
    """What turns row numbers into gradients.

    forward: the model, or what computes the same. batches: of the training rows, as the recipe varies them.
    loss: what is minimised, from the task.
    at_once: rows per piece; halved where memory runs out, and the step computed anew.
    sharded: the model exchanges its blocks in every pass: all workers make equally many, memory may not run out, and
    gradients come out of the backward pass as the workers' mean, which is why each weighs so many times as much.
    Everything random is drawn by the place in the training: what is resumed, or computed anew, goes on as if it
    had never stopped.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Callable[..., Any],
        batches: VariedBatches,
        loss: Loss,
        context: Context,
        autocast: torch.dtype | None,
        seed: int,
        at_once: RowsAtOnce,
        sharded: bool = False,
    ) -> None:
        self._sharded = sharded
        self._model, self._forward = model, forward
        self._batches, self._loss = batches, loss
        self._context, self._autocast, self._seed = context, autocast, seed
        self.at_once = at_once
        self.scaler = torch.amp.GradScaler(context.device.type, enabled=autocast == torch.float16)
        self.statistics = RunningStatistics(model)

    def backward(self, indices: NDArray[np.int64], seen: int) -> float:
        """Gradients of one global batch on every worker; its mean loss. seen: samples before it.

        Raises NotOneRow where not even one row fits, and MemoryError where memory runs out and the model is sharded.
        """
        learning = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        rank, world = self._context.rank, self._context.world
        self.statistics.keep()
        while True:
            ran_out, loss = self._try(np.arange(len(indices))[rank::world], indices, seen)
            ran_out, loss, have = agree(self._context, learning, ran_out, loss)
            if not ran_out:
                if not self._sharded:
                    add_up_gradients(self._context, learning, have)
                return loss
            for parameter in learning:
                parameter.grad = None
            self.statistics.put_back()
            share = -(-len(indices) // world)  # the largest of any worker: all halve alike
            self.at_once.halve(share, f"in training, at {seen:,} samples")

    def state(self) -> dict[str, Any]:
        """What a continuation needs to know besides model and optimizer."""
        return {"at_once": self.at_once.rows, "scaler": self.scaler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.at_once.lower(state["at_once"])
        self.scaler.load_state_dict(state["scaler"])

    def _try(self, own: NDArray[np.int64], indices: NDArray[np.int64], seen: int) -> tuple[bool, float]:
        """(whether memory ran out, this worker's part of the mean loss); gradients are added to the parameters.

        own: this worker's places in the batch.
        """
        counts = bool(len(own))
        if not counts:  # a worker without a row still has gradients to exchange: zeros
            own = np.zeros(1, np.int64)
        seed_dropout(place_seed(self._seed, seen, self._context.rank), self._context.device)
        most = -(-len(indices) // self._context.world) if self._sharded else len(own)
        losses = []
        try:
            for chosen in self.at_once.split(own, most):
                weight = len(chosen) / len(indices) if counts else 0.0
                losses.append(self._add_gradients(indices, chosen if len(chosen) else own[:1], seen, weight))
            return False, sum(read() for read in losses)
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            if self._sharded:  # the others wait for this worker in the exchange of a block
                tried = min(most, self.at_once.rows or most)
                where = f"in training, at {seen:,} samples with {tried} rows at a time"
                raise MemoryError(f"out of memory {where} on worker {self._context.rank}") from problem
            return True, 0.0

    def _add_gradients(
        self, indices: NDArray[np.int64], chosen: NDArray[np.int64], seen: int, weight: float
    ) -> Callable[[], float]:
        """What reads the loss of these rows, once everything is under way."""
        batch, targets = self._batches.batch(indices, chosen, seen)
        with torch.autocast(self._context.device.type, self._autocast, enabled=self._autocast is not None):
            outputs = self._forward(**batch)
            loss = torch.stack([share * self._loss(outputs, labels) for share, labels in targets]).sum()
        loss = loss if weight == 1.0 else loss * weight
        reading = read_later(loss)
        self.scaler.scale(loss * self._context.world if self._sharded else loss).backward()
        return reading
