"""An embedding that learns only the rows which the training inputs name.

A vocabulary has tens of thousands of rows, a training set of a few thousand texts names a few thousand of them. No
other row ever gets a gradient, so Adam would move it by weight decay alone; yet a plain embedding makes, clears,
norms and steps a gradient of the whole table at every step, which on a CPU costs more than the model's own products
(benchmarks/README.md has the figures). Here the other rows stay as they were pretrained, and cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding

from automl.models.blocks import place_of

SMALLEST_TABLE = 4_096
"""Smaller tables are left alone: nothing is to be gained from them."""
LARGEST_SHARE = 0.8
"""So is a table most of whose rows are named."""
_PIECE_IDS = 1 << 22


class UsedRows(nn.Module):
    """Stands where an embedding stood: `weight` holds the rows that learn, in the order of `rows`.

    While it trains, every index must be one of `rows`. In eval mode every index of the table may be asked for.
    """

    def __init__(self, table: nn.Embedding, rows: Tensor) -> None:
        """rows: sorted indices into the table."""
        super().__init__()
        self._table = (table,)  # in a tuple, so that it is no part of the model
        self._rows = rows
        self.num_embeddings, self.embedding_dim = table.num_embeddings, table.embedding_dim
        self.padding_idx = table.padding_idx
        self.weight = nn.Parameter(table.weight.detach()[rows].clone(), requires_grad=table.weight.requires_grad)
        place = torch.full((table.num_embeddings,), len(rows), dtype=torch.long, device=rows.device)
        place[rows] = torch.arange(len(rows), device=rows.device)
        self.register_buffer("_place", place, persistent=False)  # a row that must not be named is out of range
        # once: asking the device for it at every step would make the host wait for the device
        padding = len(rows) if self.padding_idx is None else int(place[self.padding_idx])
        self._padding = padding if padding < len(rows) else None

    def write_back(self) -> nn.Embedding:
        """The embedding that stood here, with what was learned so far."""
        (table,) = self._table
        with torch.no_grad():
            table.weight[self._rows] = self.weight
        return table

    def train(self, mode: bool = True) -> Self:
        """On the way to eval mode the table takes over what was learned.

        Always: whether it changed does not show, for fused optimizers leave a tensor's version as it was.
        """
        if not mode:
            self.write_back()
        return super().train(mode)

    def forward(self, ids: Tensor) -> Tensor:
        if not self.training:
            found: Tensor = self._table[0](ids)
            return found
        place: Tensor = self._place  # type: ignore[assignment]
        return embedding(place[ids], self.weight, self._padding)


@contextmanager
def learning_used_rows(
    model: nn.Module, inputs: Mapping[str, NDArray[Any]], padding: Mapping[str, int]
) -> Iterator[UsedRows | None]:
    """Let the model's token embedding learn only the rows that `inputs` name while this is open, where that pays.

    inputs: all values of each field of the training rows; padding: the value that fills each field.
    Leaves the model as it was, with what the rows learned. Yields None where the embedding is left alone.
    """
    table, named = token_embedding(model), inputs.get("input_ids")
    if table is None or named is None:
        yield None
        return
    rows = rows_named(named, padding.get("input_ids", 0), table.num_embeddings)
    if len(rows) > LARGEST_SHARE * table.num_embeddings:
        yield None
        return
    used = UsedRows(table, torch.from_numpy(rows).to(table.weight.device))
    parent, name = place_of(model, table)
    parent._modules[name] = used
    try:
        yield used
    finally:
        parent._modules[name] = used.write_back()


def rows_named(ids: NDArray[Any], padding: int, rows: int) -> NDArray[np.int64]:
    """Which of a table's rows the ids name, ascending, the padding with them. In pieces: ids may lie on the disk."""
    named = np.zeros(rows, np.bool_)
    named[padding] = True
    for start in range(0, len(ids), _PIECE_IDS):
        named[ids[start : start + _PIECE_IDS]] = True
    return np.flatnonzero(named)


def token_embedding(model: nn.Module) -> nn.Embedding | None:
    """The model's table of tokens where it is a large, plain one that no other layer shares; else None."""
    get = getattr(model, "get_input_embeddings", None)
    try:
        table = get() if get is not None else None
    except NotImplementedError:
        return None
    if type(table) is not nn.Embedding or table.num_embeddings < SMALLEST_TABLE or table.max_norm is not None:
        return None
    holders = sum(
        parameter is table.weight for module in model.modules() for parameter in module._parameters.values()
    )
    return table if holders == 1 else None
