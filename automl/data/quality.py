"""Flaws of single columns and of the labels: what is missing, odd, unbalanced, or gives the answer away."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.columns import (
    Column,
    Mask,
    as_text,
    blank,
    byte_counts,
    fold,
    matching,
    numeric_values,
    to_mask,
    word_counts,
)
from automl.data.encoding import encoding_name
from automl.data.guess import Roles
from automl.data.labels import PLACEHOLDERS, UNKNOWN, placeholders, unknowns
from automl.data.leakage import Keyed, first_rows
from automl.data.pieces import taken
from automl.data.rows import Rows
from automl.data.target_leak import find_target_leaks
from automl.types import Finding, Severity

_PLACEHOLDERS = pa.array(["unknown", "n/a", "na", "null", "nan", "missing", "not available", "?", "#n/a"])
_GARBLED = r"[\x{80}-\x{9f}\x{fffd}]|Ã[\x{80}-\x{bf}]|â€"
_ENTITY = r"&(amp|lt|gt|quot|apos|nbsp|#\d{1,6}|#[xX][0-9a-fA-F]{1,5});"
_FOREIGN = r"[^\x00-\x7f]"
_CONTROL = r"[\x00-\x08\x0e-\x1f\x7f]"
LONG_WORDS = 380
"""About 512 word pieces of English, the limit of most encoders."""
NUMBERS_KIND = "numbers_as_text"
PLACEHOLDER_KIND = "label_placeholders"
SEARCHED_RATIO = 5
"""From so many rows of the largest class for one of the smallest, the shipped search spaces offer remedies."""


def find_flaws(
    parts: Mapping[str, Rows],
    keyed: Mapping[str, Keyed],
    columns: Sequence[Column],
    roles: Roles,
    classified: bool,
) -> list[Finding]:
    """All of them, in no particular order."""
    findings: list[Finding] = []
    for name, rows in parts.items():
        own = _unreadable(rows) + _missing(name, rows, roles) + _spoilt(name, rows, roles, columns)
        findings += [replace(finding, part=name) for finding in own]
    findings += _no_numbers(keyed["train"], columns, roles)
    findings += _columns(keyed["train"], columns, roles)
    findings += _placeholders(keyed["train"], columns, roles)
    if classified and roles.target is not None:
        findings += _labels_read_otherwise(keyed)
        findings += find_placeholders(keyed, roles.target)
        findings += _imbalance(keyed["train"], roles.target)
        findings += _typos(keyed["train"], roles.target)
        findings += find_target_leaks(keyed["train"], columns, roles)
    return findings


def _finding(kind: str, severity: Severity, what: str, suggestion: str, where: Mask, rows: Rows) -> list[Finding]:
    if not where.any():
        return []
    numbers = first_rows(rows.numbers, where)
    count = int(where.sum())
    return [Finding(kind=kind, severity=severity, count=count, what=what, suggestion=suggestion, rows=numbers)]


def _unreadable(rows: Rows) -> list[Finding]:
    skipped = rows.read_as.skipped_rows
    if not skipped:
        return []
    return [
        Finding(
            kind="unreadable_rows",
            severity="repair",
            count=len(skipped),
            what=f"{rows.read_as.source}: rows with the wrong number of fields",
            suggestion="left out; mend them in the file to keep them",
            rows=skipped[:100],
        )
    ]


def _missing(part: str, rows: Rows, roles: Roles) -> list[Finding]:
    """One finding a column for values that are not there, and one for those that are only white space."""
    findings = []
    for name in rows.table.column_names:
        text = as_text(rows.table[name])
        nothing = blank(text)
        if not nothing.any():
            continue
        absent = to_mask(pc.fill_null(pc.equal(text, ""), True))
        used = name == roles.target or name in roles.inputs
        needed = name == roles.target or (name,) == roles.inputs
        severity: Severity = "repair" if needed else "warn" if used else "note"
        if part == "train":
            todo = "these rows are removed" if needed else "nothing is changed"
        else:
            todo = "these rows are left out" if name == roles.target else "kept as they are"
        findings += _finding("missing_values", severity, f"{part}: nothing in {name!r}", todo, absent, rows)
        only_space = nothing & ~absent
        what = f"{part}: only white space in {name!r}"
        findings += _finding("missing_values", severity, what, todo, only_space, rows)
    return findings


def _placeholders(part: Keyed, columns: Sequence[Column], roles: Roles) -> list[Finding]:
    """Words such as "unknown" that stand where a value is missing, over all columns that are not text."""
    table = part.rows.table
    anywhere, counts = np.zeros(table.num_rows, np.bool_), []
    for column in columns:
        if column.kind not in ("category", "number") or column.name == roles.target:
            continue
        found = to_mask(pc.is_in(fold(as_text(table[column.name])), _PLACEHOLDERS))
        if found.any():
            anywhere |= found
            counts.append(f"{column.name} {int(found.sum()):,}")
    what = f"a word such as 'unknown' in the place of a value ({', '.join(counts[:12])})"
    return _finding("missing_values", "note", what, "nothing is changed", anywhere, part.rows)


def _no_numbers(part: Keyed, columns: Sequence[Column], roles: Roles) -> list[Finding]:
    """Targets such as inf and nan among numbers, which nothing can be learnt from."""
    column = next((column for column in columns if column.name == roles.target and column.kind == "number"), None)
    if column is None:
        return []
    numbers = numeric_values(part.rows.table[column.name])
    if numbers is None:
        return []
    where = ~np.isfinite(numbers) & ~blank(as_text(part.rows.table[column.name]))
    what = f"{part.name}: {column.name!r} holds nan, inf or a word for a missing value among its numbers"
    return _finding(
        "missing_values", "warn", what, "write a number in these rows, or leave them out", where, part.rows
    )


def _spoilt(part: str, rows: Rows, roles: Roles, columns: Sequence[Column]) -> list[Finding]:
    findings = []
    read_as = rows.read_as
    texts = [c.name for c in columns if c.kind in ("text", "category") and c.name in rows.table.column_names]
    pictured = {c.name for c in columns if c.kind == "image"}
    texts = [name for name in roles.inputs if name not in pictured] or texts
    if read_as.encoding not in (None, "utf-8"):
        what = f"{part}: read as {encoding_name(read_as.encoding or '')}; these rows hold letters beyond ASCII"
        todo = "look at a few; if letters are wrong, save the file as UTF-8"
        findings += _finding("encoding", "warn", what, todo, _anywhere(rows, texts, _FOREIGN), rows)
    elif read_as.byte_order_mark:
        what = f"{part}: the file begins with a UTF-8 byte-order mark"
        everywhere = np.ones(rows.table.num_rows, np.bool_)
        findings += _finding("encoding", "note", what, "it is left out of the first name", everywhere, rows)
    what = f"{part}: letters garbled by a wrong encoding in the text"
    findings += _finding("encoding", "warn", what, "nothing is changed", _anywhere(rows, texts, _GARBLED), rows)
    what = f"{part}: HTML entities such as &amp; in the text"
    findings += _finding("encoding", "note", what, "nothing is changed", _anywhere(rows, texts, _ENTITY), rows)
    what = f"{part}: control characters in the text"
    findings += _finding("encoding", "note", what, "nothing is changed", _anywhere(rows, texts, _CONTROL), rows)
    for name in roles.inputs:
        what = f"{part}: {name!r} is longer than {LONG_WORDS} words, which most models cut"
        long = _has_words(as_text(rows.table[name]), LONG_WORDS + 1)
        findings += _finding("too_long", "note", what, "the end of these texts is not seen", long, rows)
    return findings


def _has_words(text: pa.ChunkedArray, words: int) -> Mask:
    """Where there are so many words or more; they are counted only where they have room."""
    found = byte_counts(text) >= 2 * words - 1
    places = np.flatnonzero(found)
    found[places] = np.concatenate([word_counts(piece) for piece in taken(text, places)]) >= words
    return found


def _anywhere(rows: Rows, names: Sequence[str], pattern: str) -> Mask:
    found = np.zeros(rows.table.num_rows, np.bool_)
    for name in names:
        found |= matching(as_text(rows.table[name]), pattern, f"looking for spoilt letters in {name!r}")
    return found


def _labels_read_otherwise(keyed: Mapping[str, Keyed]) -> list[Finding]:
    """One finding for each way in which labels are read otherwise than they are written."""
    findings = []
    for part in keyed.values():
        for change in part.changes:
            what = f"{part.name}: {change.what}"
            found = _finding(change.kind, "repair", what, change.undo, change.rows, part.rows)
            findings += [replace(finding, part=part.name) for finding in found]
    return findings


def find_placeholders(keyed: Mapping[str, Keyed], target: str | None) -> list[Finding]:
    """Labels such as - and ? that seem to stand for none, with the repair that reads them so."""
    findings: list[Finding] = []
    for part in keyed.values():
        if part.labels is None:
            continue
        classes = part.labels.unique().drop_null().to_pylist()
        kinds: tuple[tuple[Severity, list[str], str], ...] = (
            ("warn", placeholders(classes), PLACEHOLDERS),
            ("note", unknowns(classes), UNKNOWN),
        )
        for severity, words, repair in kinds:
            where = to_mask(pc.is_in(part.labels, pa.array(words, pa.string())))
            how = "seems to" if severity == "warn" else "may"
            what = f"{part.name}: the class {' or '.join(map(repr, words))} of {target!r} {how} stand for no label"
            todo = f"kept as a class; --clean {repair} reads it as no label"
            found = _finding(PLACEHOLDER_KIND, severity, what, todo, where, part.rows)
            findings += [replace(finding, part=part.name) for finding in found]
    return findings


def _columns(part: Keyed, columns: Sequence[Column], roles: Roles) -> list[Finding]:
    findings = []
    everywhere = np.ones(part.rows.table.num_rows, np.bool_)
    for column in columns:
        if column.kind in ("constant", "empty") and column.name != roles.target:  # a run refuses such a target
            value = f"the one value {column.examples[0]!r}" if column.examples else "no value at all"
            what = f"column {column.name!r} has {value}"
            findings += _finding("constant_column", "note", what, "not used", everywhere, part.rows)
        elif column.kind == "numbers" and column.name in roles.inputs:
            what = f"column {column.name!r} holds numbers alone, such as {column.examples[0][:30]!r}"
            todo = "read as words, as a text is; numbers that mean amounts or grey values say little so"
            findings += _finding(NUMBERS_KIND, "warn", what, todo, everywhere, part.rows)
        elif column.kind == "id" and column.name != roles.target:
            what = f"column {column.name!r} looks like an id: {column.distinct:,} distinct values"
            findings += _finding("id_like", "note", what, "not used", everywhere, part.rows)
    return [replace(f, rows=()) if f.count == len(everywhere) else f for f in findings]


def _imbalance(part: Keyed, target: str) -> list[Finding]:
    """Classes with less than half of an equal share of the rows."""
    assert part.labels is not None
    labels = part.labels
    present = labels.drop_null()
    counted = present.value_counts().to_pylist()
    fair = len(present) / max(len(counted), 1)
    rare = sorted((pair["counts"], pair["values"]) for pair in counted if pair["counts"] < fair / 2)
    if not rare:
        return []
    largest = max(pair["counts"] for pair in counted)
    listed = ", ".join(f"{name!r} {rows:,} ({rows / len(present):.1%})" for rows, name in rare[:5])
    more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
    where = to_mask(pc.is_in(labels, pa.array([name for _, name in rare], pa.string())))
    what = f"rare classes of {target!r}: {listed}{more}; the largest has {largest:,} rows"
    todo = "judge by F1 or MCC: accuracy rewards always saying the largest class"
    if largest >= SEARCHED_RATIO * rare[0][0]:
        todo += "; a run also searches logit adjustment, a class-balanced loss and balanced sampling"
    return _finding("imbalance", "warn", what, todo, where, part.rows)


def _typos(part: Keyed, target: str) -> list[Finding]:
    """Labels that differ from a more frequent one by case, white space, or one slip of the pen."""
    spelled = as_text(part.rows.table[target])
    counts = {p["values"]: p["counts"] for p in spelled.drop_null().value_counts().to_pylist() if p["values"].strip()}
    if len(counts) > 1000:
        return []
    by_fold: dict[str, str] = {}
    meant: dict[str, str] = {}
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        folded = " ".join(label.casefold().split())
        near = by_fold.get(folded) or _slip(folded, counts[label], by_fold, counts)
        if near is None:
            by_fold[folded] = label
        else:
            meant[label] = near
    if not meant:
        return []
    listed = ", ".join(f"{label!r} (for {near!r}?)" for label, near in list(meant.items())[:5])
    where = to_mask(pc.is_in(spelled, pa.array(list(meant), pa.string())))
    only_space = all(" ".join(label.split()) == near for label, near in meant.items())
    todo = "read as the label they mean" if only_space else "mend them in the file; white space alone is mended here"
    severity: Severity = "repair" if only_space else "warn"
    return _finding(
        "label_typos", severity, f"labels of {target!r} spelled in two ways: {listed}", todo, where, part.rows
    )


def _slip(folded: str, rows: int, known: Mapping[str, str], counts: Mapping[str, int]) -> str | None:
    """The label that a rare one of five letters or more was meant to be, a twentieth as frequent or less."""
    if len(folded) < 5 or any(char.isdigit() for char in folded):
        return None
    near = difflib.get_close_matches(folded, known, n=1, cutoff=0.85)
    return known[near[0]] if near and rows * 20 <= counts[known[near[0]]] else None
