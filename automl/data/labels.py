"""Labels as they are compared: in one spelling over all parts, and null where there is none."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.columns import Mask, as_text, fold_space, to_mask

NAN, SPELLING, PLACEHOLDERS, UNKNOWN = "nan-labels", "label-spelling", "placeholder-labels", "unknown-labels"
USUAL = frozenset({NAN, SPELLING})
"""How labels are read unless a user says otherwise; the names are those of repairs."""
_NAN_WORDS = pa.array(["nan", "NaN", "<NA>", "NaT"])
_NO_LABEL = frozenset(
    {"n/a", "null", "unlabeled", "unlabelled", "not labeled", "not labelled", "no label", "no_label",
     "nolabel", "missing", "not available", "undefined", "tbd", "todo"}
)  # fmt: skip
_MAYBE_NO_LABEL = frozenset(
    {"unknown", "none", "na", "unk", "xx", "xxx", "not applicable", "unbekannt", "keine angabe", "inconnu",
     "desconocido", "desconhecido", "sconosciuto",
     "\u043d\u0435\u0438\u0437\u0432\u0435\u0441\u0442\u043d\u043e", "\u672a\u77e5", "\u4e0d\u660e"}
)  # fmt: skip
_SIGNS = frozenset(string.punctuation + "–—…")
_WHOLE = r"^([-+]?\d+)\.0+$"
_DECIMAL = re.compile(r"[-+]?\d+(\.\d+)?")
_MOST_CLASSES = 10_000


@dataclass(frozen=True)
class Change:
    """Labels that are read otherwise than they are written. kind: of the repair. undo: what reads them as written."""

    kind: str
    what: str
    rows: Mask
    undo: str

    @property
    def sentence(self) -> str:
        return f"{self.what} ({self.undo})"


@dataclass(frozen=True)
class Labels:
    """The labels of one part, null where there is none, and what was changed to read them."""

    values: pa.ChunkedArray
    changes: tuple[Change, ...] = ()


def as_labels(column: pa.ChunkedArray, nan_is_missing: bool = True) -> pa.ChunkedArray:
    """Labels in one spelling: white space folded, whole numbers without a point, null where blank or NaN."""
    labels = fold_space(as_text(column))
    nothing = pa.array(["", *(_NAN_WORDS.to_pylist() if nan_is_missing else ())])
    labels = pc.if_else(pc.is_in(labels, nothing), None, labels)
    distinct = labels.unique().drop_null()
    if not len(distinct):
        return labels
    if pc.all(pc.match_substring_regex(distinct, r"^[-+]?\d+(\.0+)?$")).as_py() or _written_twice(distinct):
        return pc.replace_substring_regex(labels, _WHOLE, r"\1")
    if pc.all(pc.is_in(pc.utf8_lower(distinct), pa.array(["true", "false"]))).as_py():
        return pc.utf8_lower(labels)  # a CSV says True where Parquet says true
    return labels


def _written_twice(distinct: pa.Array) -> bool:
    """Whether numbers stand with a point and without: 1.0 and 1.5 of one file, 1 and 2 of another."""
    if len(distinct) > _MOST_CLASSES or not pc.all(pc.match_substring_regex(distinct, r"^[-+]?\d+(\.\d+)?$")).as_py():
        return False
    return len(pc.replace_substring_regex(distinct, _WHOLE, r"\1").unique()) < len(distinct)


def read_labels(columns: Mapping[str, pa.ChunkedArray], on: frozenset[str] = USUAL) -> dict[str, Labels]:
    """The labels of all parts, spelled as the training rows spell them. on: names of repairs; four of them count.

    A label is respelled only where the training rows lack it and have exactly one that differs in nothing but case,
    Unicode form, a sign + or a .0 at the end.
    """
    found = {name: _read(column, on) for name, column in columns.items()}
    if SPELLING not in on or "train" not in found:
        return found
    known = found["train"].values.unique().drop_null().to_pylist()
    return {name: labels if name == "train" else _respelled(labels, known) for name, labels in found.items()}


def _read(column: pa.ChunkedArray, on: frozenset[str]) -> Labels:
    labels = as_labels(column, NAN in on)
    changes = []
    if NAN in on:
        where = to_mask(pc.is_in(fold_space(as_text(column)), _NAN_WORDS))
        if where.any():
            named = ", ".join(map(repr, pc.unique(fold_space(as_text(column)).filter(where)).to_pylist()))
            what, undo = f"labels {named} read as no label", f"--clean no-{NAN} keeps them as a class"
            changes.append(Change("missing_values", what, where, undo))
    for name, stand_in in ((PLACEHOLDERS, placeholders), (UNKNOWN, unknowns)):
        words = stand_in(labels.unique().drop_null().to_pylist()) if name in on else []
        if words:
            where = to_mask(pc.is_in(labels, pa.array(words, pa.string())))
            labels = pc.if_else(pa.array(where), None, labels)
            what = f"labels {', '.join(map(repr, words))} read as no label"
            changes.append(Change("missing_values", what, where, f"by --clean {name}"))
    return Labels(labels, tuple(changes))


def placeholders(classes: Iterable[str]) -> list[str]:
    """Those of the classes that stand for no label: a mere sign among words, n/a, -1 below numbers from 0."""
    known = set(classes)
    signs = {name for name in known if set(name) <= _SIGNS}
    words = known - signs
    # beside other signs, such as a +, a sign is a class
    found = signs if words and len(signs) <= 2 and "+" not in signs else set()
    found |= {name for name in words if _bare(name) in _NO_LABEL}
    if "-1" in known and _is_no_number(words - {"-1"}):
        found |= {"-1"}
    return sorted(found) if known - found else []


def _bare(name: str) -> str:
    """A name in lower case without marks around it, as in <unk>, (none) or n/a."""
    return name.casefold().strip(string.punctuation + " ")


def _is_no_number(others: set[str]) -> bool:
    """Whether a class -1 stands beside words, or beside numbers from 0 of which it mirrors none."""
    if all(name.isdecimal() for name in others):
        return len(others) > 1 and "0" in others and others != {"0", "1"}
    return not any(_DECIMAL.fullmatch(name) for name in others)


def unknowns(classes: Iterable[str]) -> list[str]:
    """Those of the classes that may stand for no label, or be classes: unknown, none."""
    known = set(classes)
    found = {name for name in known if _bare(name) in _MAYBE_NO_LABEL}
    return sorted(found) if known - found else []


def _respelled(labels: Labels, known: list[str]) -> Labels:
    unseen = sorted(set(labels.values.unique().drop_null().to_pylist()).difference(known))
    if not unseen or max(len(unseen), len(known)) > _MOST_CLASSES:
        return labels
    by_key: dict[str, list[str]] = {}
    for label in known:
        by_key.setdefault(_key(label), []).append(label)
    meant = {label: twins[0] for label in unseen if len(twins := by_key.get(_key(label), [])) == 1}
    if not meant:
        return labels
    at = pc.index_in(labels.values, pa.array(list(meant), pa.string()))
    values = pc.coalesce(pc.take(pa.array(list(meant.values()), pa.string()), at), labels.values)
    listed = ", ".join(f"{label!r} as {name!r}" for label, name in list(meant.items())[:5])
    more = f" and {len(meant) - 5} more" if len(meant) > 5 else ""
    what, undo = f"labels read as the training rows spell them: {listed}{more}", f"--clean no-{SPELLING} does not"
    where = np.asarray(pc.is_valid(at).to_numpy(zero_copy_only=False), np.bool_)
    return Labels(values, (*labels.changes, Change("label_typos", what, where, undo)))


def _key(label: str) -> str:
    """What two spellings of a label have in common. Zeros in front count: '01' and '1' may be two codes."""
    if _DECIMAL.fullmatch(label):
        return re.sub(_WHOLE, r"\1", label).removeprefix("+")
    return unicodedata.normalize("NFC", label).casefold()
