"""What comes when: rows in an order that the seed alone decides, until the horizon, and evaluations between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

CURVE_POINTS = 6
"""Evaluations of a training that a curve needs, if its epochs are as many; the rungs come on top."""


def evaluation_points(horizon: int, rungs: Sequence[int], rows: int) -> list[tuple[int, int | None]]:
    """When a training is evaluated: (samples, rung or None), ascending, the horizon last. rows: to train on."""
    epochs = max(1, round(horizon / rows))
    points = min(CURVE_POINTS, max(epochs, 2))
    samples = set(rungs) | {round(horizon * i / points) for i in range(1, points + 1)}
    return [(s, s if s in rungs else None) for s in sorted(samples)]


def batch_stream(
    lengths: NDArray[np.int64],
    size: int,
    seed: int,
    horizon: int,
    even_groups: NDArray[np.int64] | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Batches of row numbers until the horizon's samples have been seen; the last one may be cut.

    even_groups: a group for every row, of which every epoch then draws all equally often; it has as many rows.
    """
    seen, epoch = 0, 0
    while seen < horizon:
        for indices in shuffled_batches(lengths, size, seed, epoch, even_groups):
            indices = indices[: horizon - seen]
            yield indices
            seen += len(indices)
            if seen >= horizon:
                return
        epoch += 1


def shuffled_batches(
    lengths: NDArray[np.int64],
    batch_size: int,
    seed: int,
    epoch: int,
    even_groups: NDArray[np.int64] | None = None,
    bucket_batches: int = 50,
) -> list[NDArray[np.int64]]:
    """An epoch in batches of rows of like length, in an order that seed and epoch alone decide.

    It has every row once, or, with even_groups, every group equally often.
    """
    generator = np.random.default_rng((seed, epoch))
    rows = np.arange(len(lengths)) if even_groups is None else even_rows(even_groups, generator)
    order = generator.permutation(rows)
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), batch_size * bucket_batches):
        bucket = order[start : start + batch_size * bucket_batches]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        batches.extend(bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:  # batch norm has no variance of one row
        lone = batches.pop()
        batches[-1] = np.concatenate([batches[-1], lone])
    return [batches[i] for i in generator.permutation(len(batches))]


def even_rows(groups: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """As many row numbers as there are rows, every group equally often (by one row at most more or less).

    Within a group every row comes equally often too: drawing each anew would leave out a third of them by chance.
    """
    _, counts = np.unique(groups, return_counts=True)
    by_group = np.split(np.argsort(groups, kind="stable"), np.cumsum(counts)[:-1])
    share, left = divmod(len(groups), len(counts))
    sizes = np.full(len(counts), share)
    sizes[generator.permutation(len(counts))[:left]] += 1
    drawn = []
    for rows, size in zip(by_group, sizes, strict=True):
        whole, rest = divmod(int(size), len(rows))
        drawn += [rows] * whole + [generator.permutation(rows)[:rest]]
    return np.concatenate(drawn)
