"""All images of a dataset looked at; those of more than 8 bits a channel under levels that they have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from automl.data.images import FORMATS, Look, look_at_all
from automl.data.levels import FULL, Levels, levels_of
from automl.errors import DataError


def look_at_parts(
    paths: Mapping[str, Sequence[str | None]], missing: Mapping[str, Mapping[int, str]], levels: Levels | None
) -> tuple[dict[str, list[Look]], Levels | None]:
    """What every file of every part holds, and the levels of deep images; None where there are none.

    missing: why rows have no file. levels: as the user says; else those of the training images.
    Raises DataError where no training image can be read.
    """
    looks = {part: _looks(files, missing[part], levels) for part, files in paths.items()}
    _refuse_unreadable(looks["train"], paths["train"])
    deep = {part: [row for row, look in enumerate(own) if look.values is not None] for part, own in looks.items()}
    if not any(deep.values()):
        return looks, None
    if levels is not None:
        return looks, levels
    first = next(part for part in looks if deep[part])  # the training images, where these are deep
    levels = levels_of(look.values for look in looks[first] if look.values is not None) or FULL
    if levels != FULL:
        for part, rows in deep.items():
            again = look_at_all([paths[part][row] for row in rows], levels)
            for row, look in zip(rows, again, strict=True):
                looks[part][row] = look
    return looks, levels


def _looks(paths: Sequence[str | None], missing: Mapping[int, str], levels: Levels | None) -> list[Look]:
    looks = look_at_all(paths, levels)
    for row, reason in missing.items():
        looks[row] = replace(looks[row], problem=reason)
    return looks


def _refuse_unreadable(looks: Sequence[Look], paths: Sequence[str | None]) -> None:
    problem = looks[0].problem if looks else None
    if problem is not None and all(look.problem is not None for look in looks):
        raise DataError(
            f"none of the {len(looks):,} images can be read, the first: {paths[0]}: {problem}",
            f"whole files in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}",
            "Convert the images, or fetch them again",
        )
