"""What a dataset is, before anything is spent on it: columns, roles, classes, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from automl.config import make_request
from automl.data.boxes import find_box_flaws
from automl.data.columns import Codes, Column, describe
from automl.data.drift import find_drift
from automl.data.guess import Roles, find_column, guess_roles, named_texts
from automl.data.image_bytes import HELD, with_image_files
from automl.data.image_column import ImageColumn, Located, guess_image, locate_images
from automl.data.images import Look
from automl.data.in_memory import told_apart
from automl.data.label_errors import find_label_errors
from automl.data.languages import find_languages
from automl.data.leakage import Contents, Keyed, find_overlaps, find_repeats, key_parts
from automl.data.levels import Levels
from automl.data.load import AS_FOUND, load_parts, raise_all
from automl.data.looks import look_at_parts
from automl.data.media import PICTURE
from automl.data.near import find_near
from automl.data.one_hot import OneHot, joined
from automl.data.picture_flaws import find_picture_flaws
from automl.data.quality import find_flaws
from automl.data.rows import ReadOptions, Rows
from automl.data.sentinels import find_sentinels
from automl.data.several_labels import MULTI_LABEL, several_labels, without_lists_of_one
from automl.data.split_column import Said, parts_by_column
from automl.data.together import find_groups
from automl.errors import DataError
from automl.types import Finding

_CLASSIFIED = ("text-classification", "image-classification", "tabular-classification")
_DIGESTS = ("pixels", "content")
_ORDER = {"refuse": 0, "repair": 1, "warn": 2, "note": 3}


@dataclass(frozen=True, kw_only=True, repr=False)
class Inspection:
    """Everything that was seen; to_json gives the form of `inspect --json`, the others forms for people.

    unpacked: the column whose image files stood in the table itself; now they are files, and it holds their paths.
    levels: which values of images deeper than 8 bits are black and white; None where there are none.
    """

    parts: Mapping[str, Rows]
    keyed: Mapping[str, Keyed]
    columns: tuple[Column, ...]
    roles: Roles
    class_counts: Mapping[str, int]
    findings: tuple[Finding, ...]
    compared: tuple[str, ...] = field(default=())
    near: Mapping[str, Codes] = field(default_factory=dict)
    looks: Mapping[str, Sequence[Look]] = field(default_factory=dict)
    limits: tuple[dict[str, Any], ...] = ()
    unpacked: str | None = None
    levels: Levels | None = None

    @property
    def rows(self) -> int:
        """Rows of the source itself, without given validation and test rows."""
        return int(self.parts["train"].table.num_rows)

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "parts": {name: rows.table.num_rows for name, rows in self.parts.items()},
            "columns": [column.to_json() for column in self.columns],
            "task": self.roles.task,
            "target": self.roles.target,
            "inputs": list(self.roles.inputs),
            "reasons": {
                "task": self.roles.task_reason,
                "target": self.roles.target_reason,
                "inputs": self.roles.inputs_reason,
            },
            "classes": dict(list(self.class_counts.items())[:1000]),
            **({"limits": list(self.limits)} if self.limits else {}),
            "read_as": self.parts["train"].read_as.to_json(),
            "parts_read_as": {name: rows.read_as.to_json() for name, rows in self.parts.items()},
            "findings": [finding.to_json() | {"rows": list(finding.rows)} for finding in self.findings],
        }

    def __repr__(self) -> str:
        """What `automl inspect` prints: the rows themselves would fill a screen."""
        return self.to_text()

    def to_html(self) -> str:
        """One page that needs no network; it quotes rows of the data."""
        from automl.data.page import inspection_page

        return inspection_page(self)

    def to_text(self) -> str:
        from automl.data.printing import inspection_text

        return inspection_text(self)


def inspect(
    source: Any,
    *,
    target: str | None = None,
    text: Sequence[str] | str | None = None,
    image: str | None = None,
    test: Any = None,
    validation: Any = None,
    group: str | None = None,
    split: str | None = None,
    options: ReadOptions = AS_FOUND,
    label_errors: bool = False,
    **asked: Any,
) -> Inspection:
    """What the data is, what is wrong with it, and what a run would refuse of it; nothing is changed or written.

    source, test, validation: paths, or data in memory (in_memory.py).
    text: one column or two, as a list or separated by a comma. image: the column of picture files. group: the
    column that says which rows belong together. split: the column that says the part of every row, or `none`.
    options: how the files are to be read, where that shall not be found
    out.
    label_errors: look for labels that are probably wrong too, which trains cheap models.
    asked: further options of a run, such as time, folds, clean, rare_classes or task.
    Raises DataError where nothing can be read or a named column is not there, RequestError for a wrong option.
    """
    from automl.data.draft import foreseen, looked_at  # which are built on this module

    names, held = told_apart({"train": source, "validation": validation, "test": test})
    request = make_request(
        {"source": names["train"], "validation": names.get("validation"), "test": names.get("test")}
        | {"target": target, "text": text or None, "image": image, "group": group, "split": split}
        | asked
    )
    loaded = load_parts(request.source, request.validation, request.test, options, held=held)
    seen = looked_at(parts_by_column(loaded, Said.of(request)), request)
    seen = replace(seen, findings=foreseen(seen, request))
    if not label_errors or seen.roles.task not in _CLASSIFIED or not seen.roles.inputs:
        return seen
    train = seen.keyed["train"]
    looks = seen.looks.get("train", ())
    found = [*seen.findings, *find_label_errors(train, seen.compared, looks)]
    return replace(seen, findings=ordered(found))


def inspect_parts(
    parts: Mapping[str, Rows],
    target: str | None,
    text: Sequence[str] | None,
    image: str | None = None,
    group: str | None = None,
    unpack_in: Path | None = None,
    levels: Levels | None = None,
) -> Inspection:
    """The same for parts that are loaded already. unpack_in: as in `load`, for image files that lie in columns.

    levels: where the user says so, instead of what the training images hold.
    """
    seen = _understand(parts, target, text, image, group, unpack_in)
    parts, columns, roles, located = seen.parts, seen.columns, seen.roles, seen.located
    train = parts["train"]
    # without text, two rows are the same where all of their columns are
    compared = roles.inputs or tuple(name for name in train.table.column_names)
    _check_parts(parts, compared)
    looks: dict[str, list[Look]] = {}
    findings: list[Finding] = []
    if located:
        parts, findings = located.parts, located.findings
        paths = {name: rows.table[compared[0]].to_pylist() for name, rows in parts.items()}
        looks, levels = look_at_parts(paths, located.missing, levels)
    contents = {name: _contents(found) for name, found in looks.items()} or None
    keyed = key_parts(parts, compared, roles.target, contents)
    classified = roles.task in _CLASSIFIED
    for name, found in looks.items():
        findings += find_picture_flaws(keyed[name], found, parts[name].table[compared[0]].to_pylist(), levels)
    labelled = {
        name: part for name, part in keyed.items() if name == "train" or not _lacks_labels(part, keyed["train"])
    }
    for name in [name for name in keyed if name not in labelled]:
        findings += _without_labels(keyed["train"], keyed[name], roles.inputs)
    for part in labelled.values():
        findings += find_box_flaws(part, looks.get(part.name, ()))
        findings += find_repeats(part, compared, classified)
    findings += find_overlaps(labelled, roles.inputs)
    nearly, near = find_near(labelled, compared, looks) if roles.inputs else ([], {})
    findings += nearly
    findings += find_groups(labelled, columns, group)
    findings += find_drift(labelled, columns, roles, looks)
    findings += find_flaws({name: parts[name] for name in labelled}, labelled, columns, roles, classified)
    findings += find_sentinels(labelled["train"], columns, roles)
    if not located:
        findings += [finding for part in labelled.values() for finding in find_languages(part, roles.inputs)]
    return Inspection(
        parts=parts,
        keyed=keyed,
        columns=columns,
        roles=roles,
        class_counts=class_counts(keyed["train"]) if classified else {},
        findings=ordered(findings),
        compared=compared,
        near=near,
        looks=looks,
        unpacked=seen.unpacked,
        levels=levels if looks else None,
    )


@dataclass(frozen=True)
class _Understood:
    """What the columns of the parts are for. located: the files of images, where an input is one.

    unpacked: the column whose image files lay in it, where that is the one taken.
    """

    parts: Mapping[str, Rows]
    columns: tuple[Column, ...]
    roles: Roles
    located: Located | None
    unpacked: str | None


def _understand(
    parts: Mapping[str, Rows],
    target: str | None,
    text: Sequence[str] | None,
    image: str | None,
    group: str | None,
    unpack_in: Path | None,
) -> _Understood:
    """Tell the target and the inputs, as named or as guessed. Raises DataError where that cannot be."""
    text = None if text is None else named_texts(text, parts["train"].table.column_names)
    _check_names(parts["train"], {"--target": target, "--image": image, "--group": group}, text)
    parts, held = with_image_files(parts, image, text is not None, unpack_in)
    parts = without_lists_of_one(parts)
    columns = _described(parts["train"])
    spread = (
        None
        if target is not None
        else joined(parts, columns, [name for name in (image, group, *(text or ())) if name])
    )
    if spread is not None and spread.target is not None:
        parts, target = spread.parts, spread.target
        columns = _described(parts["train"])
    train = parts["train"]
    pictured = None
    if image is not None:
        pictured = ImageColumn(name=image, reason="named with --image", indexes={})
    elif held is not None:
        pictured = ImageColumn(name=held, reason=HELD, indexes={})
    elif text is None:
        pictured = guess_image(parts, columns, target)
    located = None
    if pictured is not None:
        located = locate_images(parts, pictured)
        columns = tuple(replace(c, kind="image") if c.name == pictured.name else c for c in columns)
    roles = guess_roles(
        columns, train.table.num_rows, target, text, (pictured.name, located.reason) if pictured and located else None
    )
    return _Understood(
        parts=parts,
        columns=columns,
        roles=_of_several_labels(roles, train, columns, spread),
        located=located,
        unpacked=held if pictured and pictured.name == held else None,
    )


def _lacks_labels(part: Keyed, train: Keyed) -> bool:
    """Whether no row of a part has a label, though training rows have."""
    if train.labels is None or train.unlabelled.all():
        return False
    return part.labels is None or bool(part.unlabelled.all())


def _without_labels(train: Keyed, part: Keyed, compared: Sequence[str]) -> list[Finding]:
    """That a part is left aside, and which of its rows are known from training."""
    aside = "this part is left aside"
    known = find_overlaps({"train": train, part.name: part}, compared)
    lacks = Finding(
        kind="no_labels",
        severity="note",
        count=part.rows.table.num_rows,
        what=f"{part.name}: no row has a label",
        suggestion=f"{aside}; give labelled rows with --{part.name}, or others are split off train",
    )
    return [lacks, *(replace(finding, severity="note", suggestion=aside) for finding in known)]


def ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The gravest first, else as they were."""
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))


def _contents(looks: Sequence[Look]) -> Contents:
    pixels, content = (pa.array([getattr(look, name) for look in looks], pa.large_string()) for name in _DIGESTS)
    return Contents(PICTURE, pa.chunked_array([pixels]), pa.chunked_array([content]))


def _described(rows: Rows) -> tuple[Column, ...]:
    return tuple(describe(name, rows.table[name]) for name in rows.table.column_names)


def _of_several_labels(roles: Roles, train: Rows, columns: Sequence[Column], spread: OneHot | None) -> Roles:
    """The roles, where a row has several labels with the task that this makes."""
    if spread is not None and spread.several:
        return replace(roles, target=None, target_reason=spread.reason, task=MULTI_LABEL, task_reason=spread.reason)
    if spread is not None:
        return replace(roles, target_reason=spread.reason)
    tokens = (*roles.inputs, "tokens", "words")  # tags of these are no labels of a row
    listed = any(column.kind == "list" and column.name in tokens for column in columns)
    if roles.target is None or listed or (roles.task or "").endswith("regression"):
        return roles
    shown = several_labels(train.table[roles.target])
    return roles if shown is None else replace(roles, task=MULTI_LABEL, task_reason=f"{roles.target!r} has {shown}")


def class_counts(part: Keyed) -> dict[str, int]:
    """Rows per class, the largest first."""
    if part.labels is None:
        return {}
    counted = part.labels.drop_null().value_counts()
    pairs = [(str(pair["values"]), int(pair["counts"])) for pair in counted.to_pylist()]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def _check_names(train: Rows, single: Mapping[str, str | None], text: Sequence[str] | None) -> None:
    """single: the options that name one column."""
    problems = []
    named = [(option, name) for option, name in single.items() if name] + [("--text", name) for name in text or ()]
    for option, name in named:
        try:
            find_column(name, train.table.column_names, option, train.read_as.source)
        except DataError as error:
            problems.append(error)
    target = single["--target"]
    twice = next((option for option, name in named if name == target and option != "--target"), None)
    if target is not None and twice is not None:
        problems.append(
            DataError(
                f"column {target!r} is both --target and {twice}", "two different columns", "Change one of them"
            )
        )
    raise_all(problems)


def _check_parts(parts: Mapping[str, Rows], compared: Sequence[str]) -> None:
    problems = []
    for name, rows in parts.items():
        missing = [column for column in compared if column not in rows.table.column_names]
        if missing:
            problems.append(
                DataError(
                    f"{rows.read_as.source} has no column {', '.join(map(repr, missing))}",
                    f"the {name} rows with the columns of the training rows; it has: "
                    + ", ".join(rows.table.column_names[:30]),
                    "Rename its columns, or choose the inputs with --text or --image",
                )
            )
    raise_all(problems)
