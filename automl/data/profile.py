"""What a dataset is, before anything is spent on it: columns, roles, classes, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from automl.data.columns import Column, describe
from automl.data.guess import Roles, find_column, guess_roles
from automl.data.leakage import Keyed, find_overlaps, find_repeats, key_parts
from automl.data.load import Rows, load_parts, raise_all
from automl.data.quality import find_flaws
from automl.errors import DataError
from automl.types import Finding

_CLASSIFIED = ("text-classification", "tabular-classification")
_ORDER = {"refuse": 0, "repair": 1, "warn": 2, "note": 3}


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Everything that was seen: to_json gives the form of `inspect --json`, to_text one for a terminal."""

    parts: Mapping[str, Rows]
    keyed: Mapping[str, Keyed]
    columns: tuple[Column, ...]
    roles: Roles
    class_counts: Mapping[str, int]
    findings: tuple[Finding, ...]
    compared: tuple[str, ...] = field(default=())

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
            "read_as": self.parts["train"].read_as.to_json(),
            "parts_read_as": {name: rows.read_as.to_json() for name, rows in self.parts.items()},
            "findings": [finding.to_json() | {"rows": list(finding.rows)} for finding in self.findings],
        }

    def to_text(self) -> str:
        from automl.data.printing import inspection_text

        return inspection_text(self)


def inspect(
    source: str,
    *,
    target: str | None = None,
    text: Sequence[str] | str | None = None,
    test: str | None = None,
    validation: str | None = None,
) -> Inspection:
    """What the data is and what is wrong with it; nothing is changed or written.

    text: one column or two, as a list or separated by a comma. Raises DataError where nothing can be read or
    a named column is not there.
    """
    columns = [name.strip() for name in text.split(",") if name.strip()] if isinstance(text, str) else text
    return inspect_parts(load_parts(source, validation, test), target, columns or None)


def inspect_parts(parts: Mapping[str, Rows], target: str | None, text: Sequence[str] | None) -> Inspection:
    """The same for parts that are loaded already."""
    train = parts["train"]
    _check_names(train, target, text)
    columns = tuple(describe(name, train.table[name]) for name in train.table.column_names)
    roles = guess_roles(columns, train.table.num_rows, target, text)
    # without text, two rows are the same where all of their columns are
    compared = roles.inputs or tuple(name for name in train.table.column_names)
    _check_parts(parts, compared)
    keyed = key_parts(parts, compared, roles.target)
    classified = roles.task in _CLASSIFIED
    findings: list[Finding] = []
    for part in keyed.values():
        findings += find_repeats(part, compared, classified)
    findings += find_overlaps(keyed, compared)
    findings += find_flaws(parts, keyed, columns, roles, classified)
    findings.sort(key=lambda finding: _ORDER[finding.severity])
    return Inspection(
        parts=parts,
        keyed=keyed,
        columns=columns,
        roles=roles,
        class_counts=class_counts(keyed["train"]) if classified else {},
        findings=tuple(findings),
        compared=compared,
    )


def class_counts(part: Keyed) -> dict[str, int]:
    """Rows per class, the largest first."""
    if part.labels is None:
        return {}
    counted = part.labels.drop_null().value_counts()
    pairs = [(str(pair["values"]), int(pair["counts"])) for pair in counted.to_pylist()]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def _check_names(train: Rows, target: str | None, text: Sequence[str] | None) -> None:
    problems = []
    for option, names in (("--target", [target] if target else []), ("--text", list(text or ()))):
        for name in names:
            try:
                find_column(name, train.table.column_names, option, train.read_as.source)
            except DataError as error:
                problems.append(error)
    if target is not None and target in (text or ()):
        problems.append(
            DataError(
                f"column {target!r} is both --target and --text",
                "two different columns",
                "Change one of them",
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
                    "Rename its columns, or choose the text with --text",
                )
            )
    raise_all(problems)
