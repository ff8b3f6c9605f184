"""What a careful colleague would ask of the data before anything is spent on it, once it is cleaned and split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from automl.data.columns import Mask, as_text, blank, codes_of, matching
from automl.data.drift import FAR
from automl.data.kept import Kept
from automl.data.leakage import Keyed
from automl.data.part_words import is_part_word
from automl.data.pieces import evenly, rows_at
from automl.data.profile import Inspection
from automl.data.quality import NUMBERS_KIND, PLACEHOLDER_KIND
from automl.errors import DataError, UserError
from automl.types import Finding, Severity

KINDS = frozenset(
    {
        "class_shares",
        "class_in_few_parts",
        "class_named_as_part",
        "input_says_little",
        "rows_left_out",
        "rare_classes",
        PLACEHOLDER_KIND,
        NUMBERS_KIND,
    }
)
"""The kinds of findings that a run tells of before it begins, where they warn."""
_BY_CHANCE = 0.001
_MOST = 0.5
_ONE_COLOUR = 8
"""Grey values of an image that lie closer together than this, of 256, show next to nothing."""
_SAMPLE_ROWS = 2_000
_NAMED = 10
_UNREADABLE = r"\x{fffd}|[\x00-\x08\x0e-\x1f]|^b['\"].*['\"]$"


def look_at_data(
    seen: Inspection,
    rows: Mapping[str, Kept],
    cut: Sequence[str],
    named_target: bool = False,
    folded: bool = False,
) -> list[Finding]:
    """Findings that warn or refuse; nothing is changed.

    rows: of each part those that stay. cut: the parts that were split off the training rows. named_target: whether
    the user chose the target. folded: whether the validation is the first of several, of which no one stands alone.
    """
    findings = [*_part_names(seen, rows["train"], named_target), *_left_out(seen.keyed["train"], rows, cut)]
    for part in ("test",) if folded else ("validation", "test"):
        findings += _classes(rows["train"], rows[part], part, part in cut)
    for name in seen.roles.inputs:
        findings += _inputs(seen, name)
    return findings


def refusal(error: UserError) -> list[Finding]:
    """What a run would refuse, as findings in the words of the run; several errors in one are listed one by one."""
    several: Sequence[UserError] = error.several if isinstance(error, DataError) and error.several else (error,)
    return [
        Finding(
            kind="refused",
            severity="refuse",
            count=0,
            what="; ".join(part.rstrip(".;") for part in (one.found, one.expected) if part),
            suggestion=one.todo,
        )
        for one in several
    ]


def _shares(rows: Kept, names: Sequence[str]) -> npt.NDArray[np.float64]:
    counts = rows.label_counts()
    return np.array([counts.get(name, 0) for name in names], np.float64)


def _classes(train: Kept, rows: Kept, part: str, was_cut: bool) -> Iterator[Finding]:
    """Whether a part's labels are all of one class, lack some, or are otherwise distributed than those of train."""
    known = list(train.label_counts())
    before, after = _shares(train, known), _shares(rows, known)
    if len(known) < 2 or not after.sum():
        return
    fractions = before / before.sum()
    use = "tell contenders apart" if part == "test" else "choose recipes"
    if np.count_nonzero(after) == 1:
        only = int(after.argmax())
        surprising = fractions[only] ** after.sum() < _BY_CHANCE
        yield _finding(
            "class_shares",
            "refuse" if surprising else "warn",
            f"all {int(after.sum()):,} {part} rows are of one class, {known[only]!r}, which is "
            f"{fractions[only]:.1%} of the training rows",
            f"no row of another class can {use}: give {part} rows of every class, or leave --{part} out "
            "(--split none, where a column made them)"
            if not was_cut
            else f"no row of another class can {use}: split by another column",
            int(after.sum()),
            part,
        )
        return
    absent = after == 0 if was_cut else (after == 0) & ((1 - fractions) ** after.sum() < _BY_CHANCE)
    if absent.any():
        lacking = [name for name, missing in zip(known, absent, strict=True) if missing]
        one, learnt = len(lacking) == 1, int(before[absent].sum())
        yield _finding(
            "class_in_few_parts",
            "warn",
            f"{part} has no row of {_listed(lacking)}, which {'has' if one else 'have'} {learnt:,} training "
            f"row{'' if learnt == 1 else 's'}",
            f"nothing shows in {part} how well {'it is' if one else 'they are'} found; add such rows",
            learnt,
            part,
        )
    distance = float(np.abs(fractions - after / after.sum()).sum() / 2)
    if not was_cut and distance >= FAR and _chance(before, after) < _BY_CHANCE:
        most = int(np.abs(fractions - after / after.sum()).argmax())
        yield _finding(
            "class_shares",
            "warn",
            f"classes are distributed otherwise in {part} than in train (total variation {distance:.2f}), most of "
            f"all {known[most]!r}: {fractions[most]:.1%} of train, {after[most] / after.sum():.1%} of {part}",
            "nothing is changed; check that both files are of one data set, and judge by F1 or MCC",
            int(after.sum()),
            part,
        )


def _chance(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> float:
    """The chance of counts that differ so much from one distribution (chi-square test of homogeneity)."""
    from scipy.special import chdtrc

    both = np.stack((before, after))
    expected = both.sum(axis=1, keepdims=True) * both.sum(axis=0) / both.sum()
    return float(chdtrc(len(before) - 1, ((both - expected) ** 2 / expected).sum()))


def _part_names(seen: Inspection, train: Kept, named_target: bool) -> Iterator[Finding]:
    """Classes that are named as parts of a data set are: the parts themselves were read as classes."""
    counts = train.label_counts()
    parts = [name for name in counts if is_part_word(name)]
    # a train can be a class beside buses
    if not parts or ([name.lower() for name in parts] == ["train"] and len(counts) > 1):
        return
    every = len(parts) == len(counts) and not named_target
    yield _finding(
        "class_named_as_part",
        "refuse" if every else "warn",
        f"{'all' if every else len(parts)} classes of {seen.roles.target!r} are named as the parts of a data set "
        f"are: {_listed(parts)}",
        "these seem to be rows for training and test, and no classes: give the folder or column with the classes, "
        f"and the parts with --test and --validation; if these are classes, say --target {seen.roles.target}",
        sum(counts[name] for name in parts),
    )


def _left_out(train: Keyed, rows: Mapping[str, Kept], cut: Sequence[str]) -> Iterator[Finding]:
    before = len(train.keys)
    after = sum(len(rows[part]) for part in ("train", *cut))
    if after < before * _MOST:
        yield _finding(
            "rows_left_out",
            "warn",
            f"{before - after:,} of {before:,} training rows were left out by cleaning",
            "see the repairs for the reasons; most of the data is not learnt from",
            before - after,
        )


def _inputs(seen: Inspection, name: str) -> Iterator[Finding]:
    """Whether most rows of an input column hold nothing, nothing that can be read, or the same."""
    train, looks = seen.keyed["train"], seen.looks.get("train", ())
    rows, noun = len(train.keys), train.medium.noun
    if train.content is None:
        text = as_text(train.rows.table[name])
        empty, keys = blank(text), train.keys if len(seen.roles.inputs) == 1 else codes_of(text)
        sample = rows_at(text, evenly(rows, _SAMPLE_ROWS))
        garbled = matching(sample, _UNREADABLE, f"looking for unreadable text in {name!r}")
        yield from _little(name, noun, "hold letters that cannot be read", garbled, rows)
    else:
        empty, keys = train.blank, train.keys
        flat = [bool(look.miniature) and _spread(look.miniature) < _ONE_COLOUR for look in looks]
        yield from _little(name, noun, "are of one colour, or nearly", np.array(flat, np.bool_), rows)
    yield from _little(name, noun, "are empty" if train.content is None else "cannot be decoded", empty, rows)
    alike = keys[~empty]
    if len(alike):
        most = np.bincount(alike).argmax()
        # of two columns one may repeat: a question beside many answers
        yield from _little(name, noun, "are all alike", ~empty & (keys == most), rows, len(seen.roles.inputs) > 1)


def _little(name: str, noun: str, what: str, where: Mask, rows: int, paired: bool = False) -> Iterator[Finding]:
    fraction = float(where.mean()) if len(where) else 0.0
    if rows > 1 and fraction > (0.9 if paired else _MOST):
        yield _finding(
            "input_says_little",
            "warn",
            f"{fraction:.0%} of the training {noun}s in {name!r} {what}",
            "check that this is the column to learn from, and how it was written",
            round(fraction * rows),
        )


def _spread(miniature: bytes) -> int:
    grey = np.frombuffer(miniature, np.uint8)
    return int(grey.max()) - int(grey.min())


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more


def _finding(kind: str, severity: Severity, what: str, suggestion: str, count: int, part: str = "train") -> Finding:
    return Finding(kind=kind, severity=severity, count=count, what=what, suggestion=suggestion, part=part)
