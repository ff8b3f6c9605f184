"""A model in shards: each worker of a training keeps its part of every parameter, gradient and optimizer's moment.

torch's FSDP2 (`fully_shard`) does it. A block is put together on every worker for as long as it computes, so a worker
holds (parameters + gradients + moments) / workers, and a block or two whole. The blocks are those of the unfreezing
schedule. What goes into a file is put together first, so checkpoints and models are those of a whole training.

Every pass of a block is an exchange between all workers. So all make equally many passes, and a worker whose memory
runs out cannot go on with the others: the training ends and is started again with half of the rows
(`with_fewer_rows`), from its last checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from automl.errors import CheckpointError
from automl.models.blocks import Blocks
from automl.training.context import Context
from automl.types import TrialSpec


def is_sharded(spec: TrialSpec, context: Context) -> bool:
    """Whether the workers of a training share its model; one worker alone has it whole."""
    return spec.shard and context.world > 1


def shard_model(blocks: Blocks, context: Context, autocast: torch.dtype | None) -> None:
    """Leave on this worker's device its share of the model, which is on the host and the same on all workers.

    autocast: what the blocks compute in. They are gathered in that precision: autocast would keep a copy of every
    weight in it for the backward pass, and with it the whole model. Shards and sums of gradients stay float32, and so
    does what is gathered of a model with batch norms, which compute in nothing else.
    Raises CheckpointError where blocks share weights, or FSDP2 cannot cut one.
    """
    device = context.device
    _refuse_shared_weights(blocks)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in blocks.model.modules()):
        autocast = None
    options: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (context.world,)),
        "mp_policy": MixedPrecisionPolicy(autocast, reduce_dtype=torch.float32, cast_forward_inputs=False),
        "reshard_after_forward": True,  # the last of them too: between two steps parameters are always in shards
    }
    try:
        for module in (*_parts(blocks), blocks.model):
            fully_shard(module, **options)
        # now, while all that will ever learn requires gradients: of what is frozen in its first pass FSDP2 would
        # not know in which precision its gradients are to be summed and kept, once it is released
        blocks.model._get_fsdp_state()._lazy_init()  # type: ignore[operator]
    except (ValueError, NotImplementedError) as problem:  # a parameter without dimensions, a module that is a list
        raise CheckpointError(
            f"{type(blocks.model).__name__} cannot be sharded: {' '.join(str(problem).split())[:300]}",
            "blocks whose weights FSDP2 can cut along their first dimension",
            "Leave out --shard, or name another model with --models",
        ) from problem


def _parts(blocks: Blocks) -> Iterator[nn.Module]:
    """What is gathered by itself: the stem's modules and the layers; the rest comes together as the model does."""
    for module in (*blocks.stem, *blocks.layers):
        if any(True for _ in module.parameters()):
            yield module


def _refuse_shared_weights(blocks: Blocks) -> None:
    part_of = {id(inner): number for number, part in enumerate(_parts(blocks)) for inner in part.modules()}
    found: dict[int, set[int | None]] = {}
    for module in blocks.model.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                found.setdefault(id(parameter), set()).add(part_of.get(id(module)))
    if any(len(parts) > 1 for parts in found.values()):
        raise CheckpointError(
            f"{type(blocks.model).__name__} has a weight that several of its blocks share",
            "with --shard a model whose blocks have weights of their own",
            "Leave out --shard, or name another model with --models",
        )


def whole(values: Any, keep: bool = True) -> Any:
    """A nest of dicts and lists with every shard in it put together, in the host's memory; the rest as it is.

    All workers call it at the same point where there is a shard in it. keep: whether this one needs the result.
    """
    if isinstance(values, DTensor):
        together: Tensor = values.full_tensor().detach()
        return together.cpu() if keep else None
    if isinstance(values, dict):
        return {name: whole(value, keep) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(whole(value, keep) for value in values)
    return values


def cut_like(value: Any, parameter: Tensor) -> Any:
    """This worker's shard of a whole tensor that belongs to a parameter in shards; anything else as it is."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)


def with_fewer_rows(spec: TrialSpec, workers: int) -> TrialSpec | None:
    """The spec for another attempt at a training in shards whose memory ran out; None where one row was too much."""
    share = math.ceil(int(spec.recipe["batch_size"]) / workers)
    tried = min(share, spec.micro_batch or share)
    if not spec.shard or workers == 1 or tried <= 1:
        return None
    return replace(spec, micro_batch=math.ceil(tried / 2))
