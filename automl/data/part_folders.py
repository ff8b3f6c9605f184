"""Folders that are the parts of a dataset: train, test_set, seg_train, however deep in folders of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from automl.data.class_folders import PICTURES, folders_in, own_files
from automl.data.part_names import choose_folders, is_filler, part_of
from automl.errors import DataError


@dataclass(frozen=True, kw_only=True)
class PartFolders:
    """The folder of each part, and the names of the folders beside them that are none."""

    places: Mapping[str, Path]
    aside: tuple[str, ...]


def find_part_folders(folder: Path) -> PartFolders | None:
    """The folders of the parts; None where the folders in it are classes, or something else.

    Raises DataError where two folders could be one part.
    """
    children = folders_in(folder)
    chosen = choose_folders([child.name for child in children])
    if "train" not in chosen.parts:
        return None
    for part, names in chosen.parts.items():
        if len(names) > 1:
            raise DataError(
                f"{folder} holds several {part} folders: {', '.join(names)}", "one of each part", "Remove one"
            )
    places = {part: _inside(folder / names[0], part) for part, names in chosen.parts.items()}
    train = places["train"]
    # a class may be called "train" too: then it holds images, and no other part stands beside it
    if len(places) == 1 and (not folders_in(train) or own_files(train, PICTURES)) and len(children) > 1:
        return None
    return PartFolders(places=places, aside=tuple(f"the folder {name!r}" for name in chosen.aside))


def _inside(place: Path, part: str) -> Path:
    """The folder, or the only one in it as long as its name says no more: training_set/training_set, train/images."""
    while not own_files(place, PICTURES) and len(inner := folders_in(place)) == 1:
        if part_of(inner[0].name) != part and not is_filler(inner[0].name) and inner[0].name != place.name:
            break
        place = inner[0]
    return place
