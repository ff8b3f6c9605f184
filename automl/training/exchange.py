"""What the workers of one training tell each other: first whether all is well, then their gradients.

Not DistributedDataParallel: its exchange runs inside the backward pass, where a worker that runs out of memory
leaves the others waiting for ever. Here nobody waits before all have said that they are ready, so memory may
run out anywhere. Nothing has to be rebuilt when a block is released, either. The price: the exchange does not
overlap with the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.distributed import Store  # type: ignore[attr-defined]

from automl.training.context import Context

EXCHANGE_SECONDS = 600
"""So long a worker waits for another; a process that died is noticed at once."""
BUCKET_VALUES = 8 * 2**20
"""So many gradients are exchanged at a time: 32 MiB of float32."""


def join_workers(device: torch.device, rank: int, world: int, store: Store) -> None:
    """Take part in the exchange of all workers, over what their devices exchange with; all have the same store."""
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=EXCHANGE_SECONDS),
    )


def tells_of_a_broken_exchange(problem: BaseException) -> bool:
    """Whether another worker is gone, in the words of a backend: those in which models in shards exchange."""
    if isinstance(problem, distributed.DistError):
        return True
    return isinstance(problem, RuntimeError) and "/gloo/" in str(problem)


def any_worker(context: Context, is_so: bool) -> bool:
    """Whether it is so on any worker. Every worker asks at the same point."""
    if context.world == 1:
        return is_so
    told = torch.tensor([float(is_so)], device=context.device)
    context.add_up(told)
    return bool(told.item() > 0)


def agree(
    context: Context, parameters: Sequence[nn.Parameter], ran_out: bool, loss: float
) -> tuple[bool, float, list[bool]]:
    """(memory ran out on some worker, the sum of the losses, which parameters have a gradient on some worker)."""
    have = [parameter.grad is not None for parameter in parameters]
    if context.world == 1:
        return ran_out, loss, have
    told = torch.tensor([float(ran_out), loss, *map(float, have)], dtype=torch.float64, device=context.device)
    context.add_up(told)
    values = told.tolist()
    return values[0] > 0, values[1], [value > 0 for value in values[2:]]


def add_up_gradients(context: Context, parameters: Sequence[nn.Parameter], have: Sequence[bool]) -> None:
    """Give every worker the sum of all workers' gradients, bit for bit the same.

    have: which parameters have a gradient on some worker. One that has it nowhere keeps none: zeros would
    let the optimizer decay weights that take no part.
    """
    if context.world == 1:
        return
    gradients = []
    for parameter, there in zip(parameters, have, strict=True):
        if there:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    for bucket in _buckets(gradients):
        _add_up(context, bucket)


class RunningStatistics:
    """The buffers in which a model's batch norms keep running means and variances."""

    def __init__(self, model: nn.Module) -> None:
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
        self._buffers = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
        self._kept = [buffer.clone() for buffer in self._buffers]

    def keep(self) -> None:
        """Note their values, so that `put_back` undoes what a step did to them."""
        if self._buffers:
            torch._foreach_copy_(self._kept, self._buffers)

    def put_back(self) -> None:
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._kept)

    def average(self, context: Context) -> None:
        """The mean over the workers, each of which saw its share of every batch."""
        if context.world == 1:
            return
        means = [buffer for buffer in self._buffers if buffer.is_floating_point()]
        for bucket in _buckets(means):
            _add_up(context, bucket)
        for buffer in means:
            buffer /= context.world


def _buckets(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Tensors in order, in groups of one dtype and about BUCKET_VALUES values."""
    found: list[list[Tensor]] = []
    room = 0
    for tensor in tensors:
        if not found or room < tensor.numel() or found[-1][0].dtype != tensor.dtype:
            found.append([])
            room = BUCKET_VALUES
        found[-1].append(tensor)
        room -= tensor.numel()
    return found


def _add_up(context: Context, tensors: list[Tensor]) -> None:
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    context.add_up(flat)
    for tensor, values in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(values.view_as(tensor))
