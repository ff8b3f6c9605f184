"""Several cuts of the same rows into training and validation, for data too small for one cut to be trusted.

The test stays as it is. What is not test is parted into K folds; cut k validates on fold k and trains on the others.
Where more cuts are asked for than folds, the rows are parted anew, so that no two cuts are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from automl.data.split import Digests, fingerprint, stratified_cut
from automl.errors import DataError, RequestError
from automl.types import Fold

FOLDS = "folds.arrow"
"""A column of truth values for each cut: which rows of train.arrow, then of validation.arrow, are its validation."""
FEWEST_FOLD_ROWS = 5
Masks = list[npt.NDArray[np.bool_]]


def cut_folds(
    labels: npt.NDArray[Any],
    digests: Digests,
    folds: int,
    cuts: int,
    seed: int,
    groups: npt.NDArray[np.int64] | None = None,
) -> Masks:
    """Of each cut, which rows it validates on. A row stands in one fold of a parting, every class in its share.

    A class whose rows all belong together, and so fit into no two folds, always trains.
    groups: equal numbers go together. Raises RequestError where the folds would be too small.
    """
    if len(labels) < folds * FEWEST_FOLD_ROWS:
        raise RequestError(
            f"--folds {folds} would part {len(labels)} rows into folds of {len(labels) // folds}",
            f"at least {FEWEST_FOLD_ROWS} rows in each fold",
            "Ask for fewer --folds, or add rows",
        )
    groups = np.arange(len(labels)) if groups is None else groups
    made: Masks = []
    while len(made) < cuts:
        again = f" {len(made) // folds + 1}" if made else ""
        made += _parted(labels, digests, folds, seed, f"fold{again}", groups)
    return made[:cuts]


def _parted(
    labels: npt.NDArray[Any], digests: Digests, folds: int, seed: int, salt: str, groups: npt.NDArray[np.int64]
) -> Masks:
    left = ~_undivided(labels, groups)
    made: Masks = []
    for waiting in range(folds, 0, -1):
        mask = np.zeros(len(labels), np.bool_)
        places = np.flatnonzero(left)
        if waiting == 1:
            mask[places] = True
        else:
            size = round(len(places) / waiting)
            mask[places] = stratified_cut(
                labels[places], digests[places], size, seed, salt, groups=groups[places]
            )  # fmt: skip
        left &= ~mask
        made.append(mask)
    return made


def _undivided(labels: npt.NDArray[Any], groups: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Where a row's class has rows of one group alone."""
    classes, codes = np.unique(labels, return_inverse=True)
    _, group_codes = np.unique(groups, return_inverse=True)
    pairs = np.unique(np.stack((codes, group_codes)), axis=1)
    return np.asarray((np.bincount(pairs[0], minlength=len(classes)) < 2)[codes], np.bool_)


def describe_folds(masks: Masks, digests: Digests) -> tuple[Fold, ...]:
    """The rows and the fingerprints of every cut."""
    return tuple(
        Fold(
            number=number,
            train=int((~mask).sum()),
            validation=int(mask.sum()),
            train_sha256=fingerprint(digests[~mask]),
            validation_sha256=fingerprint(digests[mask]),
        )
        for number, mask in enumerate(masks, start=1)
    )


def fold_parts(folds: Sequence[Fold]) -> dict[str, str]:
    """The fingerprints that stand for the folds in that of the whole split."""
    return {
        f"fold {fold.number} {part}": sha256
        for fold in folds
        for part, sha256 in (("train", fold.train_sha256), ("validation", fold.validation_sha256))
    }


def folds_table(masks: Masks) -> pa.Table:
    """What FOLDS holds."""
    return pa.table({f"fold_{number}": mask for number, mask in enumerate(masks, start=1)})


def read_fold(directory: Path, number: int) -> npt.NDArray[np.bool_]:
    """Which rows of train.arrow, then of validation.arrow, cut `number` validates on.

    Raises DataError where there is no such cut.
    """
    path, name = directory / FOLDS, f"fold_{number}"
    if path.exists():
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        if name in table.column_names:
            return np.asarray(table[name].to_numpy(), np.bool_)
    raise DataError(f"{path} holds no cut {number}", "the folds of the run", "Restore the run's data/ folder")
