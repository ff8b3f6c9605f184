"""The repairs by name: which are made unless a user says otherwise, and those that mend values."""

from __future__ import annotations

import difflib
import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from automl.data.clean import Repair
from automl.data.columns import as_text
from automl.data.labels import NAN, PLACEHOLDERS, SPELLING, UNKNOWN, as_labels
from automl.data.leakage import Keyed
from automl.data.mapped import mapped
from automl.data.pieces import pieces
from automl.errors import RequestError


@dataclass(frozen=True)
class Named:
    """A repair as a user switches it: by its name, or by no-NAME."""

    what: str
    default: bool


REPAIRS: dict[str, Named] = {
    "blank-inputs": Named("drop training rows without text, or whose picture cannot be decoded", True),
    "missing-labels": Named("drop training rows without a label", True),
    "split-overlap": Named("drop training rows whose input stands in a given validation or test", True),
    "conflicting-labels": Named("drop training rows whose input stands with more than one label", True),
    "majority-label": Named("keep those with the label that most of them have, and drop the others and ties", False),
    "exact-duplicates": Named("drop repetitions of a training row, case and white space aside", True),
    "near-overlaps": Named("drop training rows that nearly stand in a given validation or test", False),
    "near-duplicates": Named("drop training rows that nearly repeat another", False),
    "mojibake": Named("mend letters of the training texts that a wrong encoding garbled (ftfy)", False),
    "html-entities": Named("write &amp; and its likes in the training texts as the characters they mean", False),
    NAN: Named("read the labels nan, NaN, <NA> and NaT as missing", True),
    PLACEHOLDERS: Named("read labels such as -, ?, n/a or unlabeled as missing, in every part", False),
    UNKNOWN: Named("read labels such as unknown or none as missing, in every part", False),
    SPELLING: Named("read labels of given parts that differ in case or .0 alone as training spells them", True),
    "label-case": Named("write labels that differ in case alone as the most frequent of them", False),
}
DEFAULT = frozenset(name for name, repair in REPAIRS.items() if repair.default)
NEEDED = frozenset({"blank-inputs", "missing-labels", "split-overlap"})
"""What a run cannot do without: nothing is learnt from a blank, and a test that was trained on tells nothing."""


def chosen(names: Iterable[str]) -> frozenset[str]:
    """The repairs that are made: the default ones, with those named and without those named no-NAME.

    Raises RequestError with the near miss of an unknown name.
    """
    on, problems = set(DEFAULT), []
    for name in names:
        plain = name.removeprefix("no-")
        if plain not in REPAIRS:
            near = difflib.get_close_matches(plain, REPAIRS, n=1)
            problems.append(f"repair {plain!r} is unknown" + (f"; did you mean {near[0]!r}?" if near else ""))
        elif name != plain:
            on.discard(plain)
        else:
            on.add(plain)
    if problems:
        raise RequestError(
            "; ".join(problems),
            f"some of {', '.join(REPAIRS)}, each also as no-NAME",
            "Change --clean",
            problems=problems,
        )
    return frozenset(on)


def mend(train: Keyed, inputs: tuple[str, ...], target: str | None, on: frozenset[str]) -> tuple[Keyed, list[Repair]]:
    """The training part with its values mended, and what was; its keys are still those of the values before."""
    table, repairs = train.rows.table, []
    texts = inputs if train.content is None else ()
    for name, repair in _TEXT_REPAIRS.items():
        if name not in on:
            continue
        touched = np.zeros(table.num_rows, np.bool_)
        for column in texts:
            if column not in table.column_names or pa.types.is_nested(table[column].type):
                continue
            mended, moved = _mended(table[column], repair, f"mending {column!r} ({name})")
            touched |= moved
            table = table.set_column(table.column_names.index(column), column, mended)
        if touched.any():
            repairs.append(
                Repair(
                    kind="encoding",
                    part=train.name,
                    what=f"texts mended by the repair {name}",
                    rows=train.numbers[touched],
                )
            )
    if "label-case" in on and target is not None and target in table.column_names:
        spelled = as_labels(table[target], NAN in on).to_pylist()
        meant = _most_frequent(spelled)
        after = [None if label is None else meant[label.casefold()] for label in spelled]
        moved = np.fromiter((a != b for a, b in zip(after, spelled, strict=True)), np.bool_, len(spelled))
        if moved.any():
            table = table.set_column(table.column_names.index(target), target, pa.chunked_array([after], pa.string()))
            what = "labels written as the most frequent of those that differ in case alone"
            repairs.append(Repair(kind="label_typos", part=train.name, what=what, rows=train.numbers[moved]))
    return replace(train, rows=replace(train.rows, table=table)), repairs


def _mended(
    column: pa.ChunkedArray, repair: Callable[[str], str], what: str
) -> tuple[pa.ChunkedArray, npt.NDArray[np.bool_]]:
    """The texts as a repair makes them, and where it changed them. what: as in `pieces`."""
    moved: list[bool] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for piece in pieces(as_text(column), what):
            before = piece.to_pylist()
            after = [None if text is None else repair(text) for text in before]
            moved.extend(a != b for a, b in zip(after, before, strict=True))
            yield pa.record_batch([pa.array(after, pa.string())], ["text"])

    mended = mapped(pa.schema({"text": pa.string()}), batches())["text"]
    return mended, np.array(moved, np.bool_)


def _most_frequent(labels: Iterable[str | None]) -> Mapping[str, str]:
    counts: dict[str, int] = {}
    for label in labels:
        if label is not None:
            counts[label] = counts.get(label, 0) + 1
    found: dict[str, str] = {}
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        found.setdefault(label.casefold(), label)
    return found


def _without_mojibake(text: str) -> str:
    import ftfy

    return ftfy.fix_encoding(text)


_TEXT_REPAIRS: dict[str, Callable[[str], str]] = {"mojibake": _without_mojibake, "html-entities": html.unescape}
