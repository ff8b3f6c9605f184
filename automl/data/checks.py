"""Whether anything can be learnt from the data, and if not, why and what to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from automl.config import RunRequest
from automl.data.clean import Repair
from automl.data.columns import Column, Mask
from automl.data.guess import MOST_CLASSES, TASKS
from automl.data.labels import PLACEHOLDERS, UNKNOWN, placeholders, unknowns
from automl.data.leakage import Keyed
from automl.data.load import raise_all
from automl.data.profile import Inspection, class_counts
from automl.data.repairs import NEEDED, chosen
from automl.data.several_labels import MULTI_LABEL
from automl.errors import DataError, RequestError

# what can be guessed from the data; a task of a plug-in is named with --task
SUPPORTED_TASKS = ("text-classification", "image-classification")
FEWEST_ROWS = 10
MOST_BROKEN = 0.5
"""A given part of which a larger fraction cannot be read is refused, a smaller one left out on record."""
_RESERVED = ("row", "label")


def check_request(request: RunRequest, known_tasks: Collection[str] = SUPPORTED_TASKS) -> None:
    """Raises RequestError where the task is not one that can be prepared."""
    if request.task is not None and request.task not in known_tasks:
        raise RequestError(
            f"task {request.task!r} is not supported yet",
            f"one of {', '.join(known_tasks)}",
            "Change --task",
        )
    if request.image is not None and request.text is not None:
        raise RequestError("--image and --text are both given", "inputs of one kind", "Leave one of them out")
    if missing := sorted(NEEDED - chosen(request.clean)):
        raise RequestError(
            f"--clean says no-{missing[0]}",
            "repairs that a run can do without",
            f"Leave no-{missing[0]} out of --clean",
        )
    if request.folds is not None:
        _check_folds(request)
    if request.group is not None and request.time is not None:
        raise RequestError("--group and --time are both given", "one rule to cut by", "Leave one of them out")


def _check_folds(request: RunRequest) -> None:
    if request.validation is not None:
        raise RequestError(
            f"--folds {request.folds} and --validation {request.validation} are both given",
            "validation rows that are cut in several ways, or rows that are given once",
            "Leave one of them out; rows of both files in one source are cut into folds",
        )
    if request.time is not None:
        raise RequestError(
            f"--folds {request.folds} and --time {request.time} are both given",
            "validation on rows later than those learnt from, which only one cut has",
            "Leave one of them out",
        )


def check_roles(seen: Inspection, request: RunRequest) -> str:
    """The target's name. Raises DataError where target and inputs make no task that can be prepared."""
    roles, source = seen.roles, seen.parts["train"].read_as.source
    names = ", ".join(column.name for column in seen.columns[:30])
    pictured = any(column.kind == "image" for column in seen.columns if column.name in roles.inputs)
    if request.task in SUPPORTED_TASKS and roles.inputs and pictured != request.task.startswith("image"):
        raise DataError(
            f"--task {request.task} is given, but {roles.inputs[0]!r} holds {'pictures' if pictured else 'text'}",
            "a column that holds " + ("text" if pictured else "the paths of picture files"),
            f"Name it with {'--text' if pictured else '--image'}, or leave --task out; columns: {names}",
        )
    if roles.target is None and [column.name for column in seen.columns] == ["image"]:
        raise DataError(
            f"the pictures of {source} lie in no class folders",
            "one folder for each class, which names it",
            "Sort the pictures into folders, or name a table with a column of paths and a column of classes",
        )
    if roles.target is None and roles.task == MULTI_LABEL:
        raise DataError(
            roles.target_reason,
            "one target with one label in every row; several labels for a row are a task that is not supported yet",
            f"Name one of these columns, or another, with --target; columns: {names}",
        )
    if roles.target is None:
        raise DataError(
            f"no column of {source} looks like a target: {roles.target_reason}",
            "a column with a class in every row",
            f"Name it with --target; columns: {names}",
        )
    _refuse_bytes(seen, names)
    column = next(column for column in seen.columns if column.name == roles.target)
    if request.task is None or column.distinct > MOST_CLASSES:
        _check_task(seen, column, names)
    if not roles.inputs:
        raise DataError(
            f"no column of {source} holds text or pictures besides the target {roles.target!r}",
            "one text column, or two, or one of picture files",
            f"Name it with --text or --image; columns: {names}",
        )
    _check_inputs(seen)
    return roles.target


def _refuse_bytes(seen: Inspection, names: str) -> None:
    """Raises DataError where the target or an input is bytes, or where there is nothing else to be an input."""
    roles = seen.roles
    used = (roles.target, *roles.inputs) if roles.inputs else [column.name for column in seen.columns]
    column = next((column for column in seen.columns if column.name in used and column.kind == "bytes"), None)
    if column is not None:
        raise DataError(
            f"column {column.name!r} of {seen.parts['train'].read_as.source} holds bytes that are neither UTF-8 text "
            "nor images",
            "text, or images in a format such as PNG or JPEG",
            f"Decode the bytes where the file is written, or choose another column with --text; columns: {names}",
        )


def _check_task(seen: Inspection, target: Column, names: str) -> None:
    task = seen.roles.task
    if task in SUPPORTED_TASKS:
        return
    supported = f"supported now: {', '.join(f'{name} ({TASKS[name]})' for name in SUPPORTED_TASKS)}"
    if task == MULTI_LABEL:
        raise DataError(
            f"column {seen.roles.task_reason.replace(' has ', ' holds ', 1)}",
            "one label in every row; several labels for a row are a task that is not supported yet",
            f"Keep one label in every row, or choose another --target; where these are names of classes, say --task "
            f"{_classifies(task, seen)}; columns: {names}",
        )
    if target.kind == "empty":
        raise DataError(
            f"column {target.name!r} is empty in every row",
            "a class in every row",
            f"Choose another with --target; columns: {names}",
        )
    if task is not None and task.endswith("regression"):
        raise DataError(
            f"column {target.name!r} holds numbers ({target.distinct:,} different values, {target.low:g} to "
            f"{target.high:g}), which makes the task {task}",
            supported,
            f"Choose another with --target (columns: {names}), or say --task {_classifies(task, seen)} "
            "if these numbers are names of classes",
        )
    numbers = [column.name for column in seen.columns if column.kind == "numbers" and column.name != target.name]
    if task == "tabular-classification" and numbers:
        shown = next(column.examples[0] for column in seen.columns if column.name == numbers[0])
        raise DataError(
            f"column {numbers[0]!r} holds numbers alone, such as {shown[:30]!r}, which are no text",
            supported,
            "Name a text column with --text, or save images that are written as numbers as image files; say --text "
            f"{numbers[0]} to read the numbers as words; columns: {names}",
        )
    if task == "tabular-classification":
        raise DataError(
            "no column holds text or picture files, so the task is tabular-classification",
            supported,
            f"Name a text column with --text, or one of picture files with --image; columns: {names}",
        )
    if task is not None and target.kind == "list":
        raise DataError(
            f"column {target.name!r} holds lists, which makes the task {task} ({TASKS.get(task, 'of a plug-in')})",
            supported,
            f"Choose another with --target; columns: {names}",
        )
    looks = "an id" if target.kind == "id" else "free text" if target.kind == "text" else "free text or an id"
    raise DataError(
        f"column {target.name!r} has {target.distinct:,} different values in {seen.rows:,} rows "
        f"and looks like {looks}",
        f"a target with at most {MOST_CLASSES:,} classes that come back; {supported}",
        f"Choose another with --target; columns: {names}",
    )


def _classifies(task: str, seen: Inspection) -> str:
    """The supported task that takes the same inputs and predicts classes."""
    pictured = any(column.kind == "image" for column in seen.columns if column.name in seen.roles.inputs)
    wanted = "image-classification" if pictured else task.replace("regression", "classification")
    return wanted if wanted in SUPPORTED_TASKS else SUPPORTED_TASKS[0]


def _check_inputs(seen: Inspection) -> None:
    for name in seen.roles.inputs:
        column = next(column for column in seen.columns if column.name == name)
        if column.kind == "list":
            raise DataError(
                f"column {name!r} holds lists",
                "text in every row",
                "Join the lists to text, or choose another --text",
            )
        if column.kind == "empty":
            raise DataError(
                f"column {name!r} is empty in every row",
                "text in every row",
                "Choose another column with --text",
            )
        if name in _RESERVED:
            raise DataError(
                f"the input column is named {name!r}, which a run uses for itself",
                "any other name",
                "Rename the column in the file",
            )


def check_parts(seen: Inspection, request: RunRequest, target: str) -> tuple[list[str], list[str]]:
    """The parts that can be used, and notes on those that cannot.

    A split of the source without labels is left aside; a file that the user gave must have them.
    Raises DataError.
    """
    usable, notes, problems = [], [], []
    for name, part in seen.keyed.items():
        if part.labels is not None and not part.unlabelled.all():
            usable.append(name)
            continue
        given = {"train": request.source, "validation": request.validation, "test": request.test}[name]
        if given is None:
            notes.append(f"the source's own {name} split has no labels and is left aside")
            continue
        if name == "train":
            raise DataError(
                f"column {target!r} is empty in every row",
                "a class in every row",
                "Choose another with --target; columns: " + ", ".join(part.rows.table.column_names[:30]),
            )
        lacks = "no column" if part.labels is None else "no value in the column"
        columns = ", ".join(part.rows.table.column_names[:30])
        problems.append(
            DataError(
                f"{part.rows.read_as.source} has {lacks} {target!r}",
                f"{name} rows with labels; its columns: {columns}",
                f"Give a file with labels with --{name}, or leave the option out",
            )
        )
    later = [seen.keyed[name] for name in usable if name != "train"]
    problems += [_broken(part, seen.compared[0]) for part in later if _is_broken(part)]
    raise_all(problems)
    return usable, notes


def _is_broken(part: Keyed) -> bool:
    """Whether so much of a part is lost that the rest no longer stands for it."""
    return part.medium.complete and bool(part.blank.mean() > MOST_BROKEN)


def _broken(part: Keyed, column: str) -> DataError:
    first = part.rows.table[column][int(np.flatnonzero(part.blank)[0])].as_py()
    source, count = part.rows.read_as.source, int(part.blank.sum())
    return DataError(
        f"{count:,} of {len(part.blank):,} {part.medium.noun}s of {source} cannot be read, the first: {first}",
        f"{part.name} rows most of which can be read",
        "Replace these files, or remove them; automl inspect lists them with their reasons",
    )


def check_rows(seen: Inspection, target: str, left: int, repairs: Sequence[Repair]) -> None:
    """Raises DataError where there is one class, or too few training rows are left after cleaning."""
    before = class_counts(seen.keyed["train"])
    names = ", ".join(column.name for column in seen.columns[:30])
    removed = "; ".join(repair.sentence() for repair in repairs) or "none were removed"
    if len(before) < 2:
        only, rows = next(iter(before.items()))
        raise DataError(
            f"column {target!r} has one class ({only!r}, {rows:,} rows)",
            "classification needs two or more",
            f"Choose another with --target; columns: {names}",
        )
    if left < FEWEST_ROWS:
        raise DataError(
            f"{left} of {seen.rows:,} rows are left after cleaning ({removed})",
            f"at least {FEWEST_ROWS} different rows",
            "Add data",
        )


def check_classes(seen: Inspection, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Raises DataError where a given part has a class of its own.

    counts: of each part, the rows of each class that it has.
    """
    known, problems = counts["train"], []
    for part in ("validation", "test"):
        unseen = sorted(set(counts.get(part, ())) - set(known))
        if unseen:
            listed = ", ".join(map(repr, unseen[:10])) + (", ..." if len(unseen) > 10 else "")
            hint = _hint(unseen, known)
            problems.append(
                DataError(
                    f"{seen.parts[part].read_as.source} has {len(unseen)} classes that training never saw: {listed}",
                    f"the classes of the training rows: {', '.join(map(repr, sorted(known)[:20]))}",
                    f"Mend the labels of the {part} rows, or add training rows of these classes{hint}",
                )
            )
    raise_all(problems)


def _hint(unseen: Sequence[str], known: Collection[str]) -> str:
    """What may be wrong with classes that training lacks."""
    for repair, stand_in in ((PLACEHOLDERS, placeholders), (UNKNOWN, unknowns)):
        if words := set(unseen).intersection(stand_in([*unseen, *known])):
            return f"; --clean {repair} reads {', '.join(map(repr, sorted(words)))} as no label"
    padded = {name.lstrip("0"): name for name in known if name.startswith("0")}
    short = next((name for name in unseen if name in padded), None)
    return "" if short is None else f"; is {short!r} the class {padded[short]!r} without its zeros?"


class Uncuttable(DataError):
    """No part can be split off. classes: those that would stand in it alone; none where it would be empty."""

    def __init__(self, found: str, expected: str, todo: str, classes: Sequence[str] = ()) -> None:
        super().__init__(found, expected, todo)
        self.classes = tuple(classes)


def check_cut(
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    chosen: Mask,
    name: str,
    column: str | None,
    together: bool = False,
) -> None:
    """Raises Uncuttable where a cut leaves a part empty, or with a class of its own.

    labels: places among the classes. column: which the user named to cut by. together: whether some rows stay
    together.
    """
    lost = [classes[code] for code in np.setdiff1d(labels[chosen], labels[~chosen])]
    if chosen.any() and not lost:
        return
    by = f"cut by {column!r}, " if column else "with near-duplicates kept together, " if together else ""
    if lost:
        found = f"{by}the {name} rows hold {len(lost)} classes that are left nowhere else: "
        found += ", ".join(map(repr, lost[:10]))
    else:
        why = "the groups are too large to be parted" if column or together else "every class has too few"
        found = f"{by}no row is left for the {name}: {why}"
    raise Uncuttable(
        found,
        "every class on both sides of the cut",
        f"{'Cut by another column' if column else 'Add rows'}, or give {name.partition(' of ')[0]} rows with "
        f"--{name.partition(' of ')[0]}",
        lost,
    )
