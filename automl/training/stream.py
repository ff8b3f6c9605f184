"""Which rows come when: an order that the seed alone decides, epoch after epoch, until the horizon."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def batch_stream(lengths: NDArray[np.int64], size: int, seed: int, horizon: int) -> Iterator[NDArray[np.int64]]:
    """Batches of row numbers until the horizon's samples have been seen; the last one may be cut."""
    seen, epoch = 0, 0
    while seen < horizon:
        for indices in shuffled_batches(lengths, size, seed, epoch):
            indices = indices[: horizon - seen]
            yield indices
            seen += len(indices)
            if seen >= horizon:
                return
        epoch += 1


def shuffled_batches(
    lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int, bucket_batches: int = 50
) -> list[NDArray[np.int64]]:
    """Every row once, in batches of rows of like length, in an order that seed and epoch alone decide."""
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(len(lengths))
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), batch_size * bucket_batches):
        bucket = order[start : start + batch_size * bucket_batches]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        batches.extend(bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:  # batch norm has no variance of one row
        lone = batches.pop()
        batches[-1] = np.concatenate([batches[-1], lone])
    return [batches[i] for i in generator.permutation(len(batches))]
