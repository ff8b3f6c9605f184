"""What is wrong with pictures: files that are broken, named as something else, or saved twice in other bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.columns import Mask
from automl.data.images import ENDINGS, Look
from automl.data.leakage import Keyed, first_rows, repeated
from automl.data.levels import Levels, named_levels
from automl.types import Finding

_DARK_SHARE = 1 / 8
_SMALLEST, _SMALL_SHARE = 16, 0.25
"""A picture is small under so many pixels on its shorter side, or under this share of what is usual in its part."""


def find_picture_flaws(
    part: Keyed, looks: Sequence[Look], paths: Sequence[str | None], levels: Levels | None = None
) -> list[Finding]:
    """Broken files, endings that say something else than the bytes, pictures saved twice, and how some are shown.

    levels: of the images that have more than 8 bits.
    """
    findings = []
    given = part.name != "train"
    broken = _where(look.problem is not None for look in looks)
    if broken.any():
        first = int(np.flatnonzero(broken)[0])
        todo = f"left out of the {part.name}, for every contender alike" if given else "removed before the split"
        findings.append(
            Finding(
                kind="broken_images",
                severity="repair",
                count=int(broken.sum()),
                what=f"{part.name}: pictures that cannot be decoded, such as {paths[first]}: {looks[first].problem}",
                suggestion=todo,
                rows=first_rows(part.numbers, broken),
                part=part.name,
            )
        )
    endings = [Path(path or "").suffix.lower() for path in paths]
    wrong = _where(
        bool(look.format) and ENDINGS.get(e) != look.format for look, e in zip(looks, endings, strict=True)
    )
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        findings.append(
            Finding(
                kind="wrong_extension",
                severity="note",
                count=int(wrong.sum()),
                what=f"{part.name}: pictures with the ending of another format, such as {paths[first]}, which is "
                f"{looks[first].format}",
                suggestion="read as what they are",
                rows=first_rows(part.numbers, wrong),
                part=part.name,
            )
        )
    findings += _find_resaved(part, looks) + _find_small(part, looks, paths) + _find_shown(part, looks)
    return findings + (_find_deep(part, looks, levels) if levels is not None else [])


def _find_deep(part: Keyed, looks: Sequence[Look], levels: Levels) -> list[Finding]:
    """Images of more than 8 bits a channel: which values are shown, and whether those are the ones they have."""
    deep = _where(look.values is not None for look in looks)
    if not deep.any():
        return []
    highest = np.array([look.values[1] for look in looks if look.values is not None])
    lowest = min(look.values[0] for look in looks if look.values is not None)
    black, beyond = levels
    what = (
        f"{part.name}: {deep.sum():,} images have more than 8 bits a channel; their values {lowest:,.6g} to "
        f"{highest.max():,.6g} are shown so that {named_levels(levels)} is black to white"
    )
    dark = float(np.median(highest)) < black + (beyond - black) * _DARK_SHARE
    clipped = lowest < black or highest.max() > beyond
    if dark:
        what += f"; half of them reach {np.median(highest):,.6g} at most, so they are nearly black"
    if clipped:
        what += "; what is beyond these is cut off"
    return [
        Finding(
            kind="deep_images",
            severity="warn" if dark or clipped else "note",
            count=int(deep.sum()),
            what=what,
            suggestion="say --levels LOW:HIGH for other values",
            rows=first_rows(part.numbers, deep),
            part=part.name,
        )
    ]


def _find_shown(part: Keyed, looks: Sequence[Look]) -> list[Finding]:
    """Images whose shape is in the alpha channel alone, and those of which one frame of several is shown."""
    kinds = {
        "alpha_shapes": (
            "images have one colour, and their shape in the alpha channel alone: it is laid on white, or on black "
            "where the colour is light",
            "transformers' own pipelines drop the alpha channel: give them images laid on a ground",
        ),
        "several_frames": ("images have several frames or pages", "the first is read"),
    }
    flags = {"alpha_shapes": [look.shaped for look in looks], "several_frames": [look.moving for look in looks]}
    return [
        Finding(
            kind=kind,
            severity="note",
            count=sum(flags[kind]),
            what=f"{part.name}: {sum(flags[kind]):,} {what}",
            suggestion=suggestion,
            rows=first_rows(part.numbers, _where(flags[kind])),
            part=part.name,
        )
        for kind, (what, suggestion) in kinds.items()
        if any(flags[kind])
    ]


def _find_small(part: Keyed, looks: Sequence[Look], paths: Sequence[str | None]) -> list[Finding]:
    """Pictures that hold next to nothing, alone or beside the others."""
    sides = np.array([min(look.width, look.height) for look in looks], np.int64)
    whole = sides > 0
    least = max(_SMALLEST, float(np.median(sides[whole])) * _SMALL_SHARE) if whole.any() else 0.0
    small = whole & (sides < least)
    if not small.any():
        return []
    first = int(np.flatnonzero(small)[0])
    return [
        Finding(
            kind="small_images",
            severity="warn",
            count=int(small.sum()),
            what=f"{part.name}: pictures of less than {least:g} pixels on a side, such as {paths[first]} with "
            f"{looks[first].width:,} × {looks[first].height:,}; half of all have {np.median(sides[whole]):,.0f}+",
            suggestion="nothing is changed; look whether these are icons, previews or cut off",
            rows=first_rows(part.numbers, small),
            part=part.name,
        )
    ]


def _find_resaved(part: Keyed, looks: Sequence[Look]) -> list[Finding]:
    """Pictures that stood before with the same pixels in other bytes."""
    _, codes = np.unique([look.content for look in looks], return_inverse=True)
    again = repeated(part.keys, ~part.blank) & ~repeated(codes.astype(np.int64), ~part.blank)
    if not again.any():
        return []
    return [
        Finding(
            kind="near_duplicates",
            severity="repair" if part.name == "train" else "warn",
            count=int(again.sum()),
            what=f"{part.name}: pictures that stood before with the same pixels in other bytes",
            suggestion="removed before the split" if part.name == "train" else "kept, a given part is never changed",
            rows=first_rows(part.numbers, again),
            part=part.name,
        )
    ]


def _where(flags: Any) -> Mask:
    return np.fromiter(flags, np.bool_)
