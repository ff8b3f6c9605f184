"""The words that name the parts of a dataset in the values of a column: train, test_set, PublicTest."""

from __future__ import annotations

import re
from collections.abc import Iterable

PART_NAMES = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev", "devel", "development"),
    "test": ("test", "testing", "tst", "holdout", "heldout", "privatetest"),
}
"""The usual names of each part, the first the most usual."""
EITHER = ("eval", "evaluation", "publictest")
"""The test, but where another is: then it is what recipes are chosen on."""
WITHOUT_LABELS = ("unlabeled", "unlabelled", "unsup", "unsupervised")
_MEANING = {
    **{word: part for part, words in PART_NAMES.items() for word in words},
    "tr": "train",  # in a column; in the name of a file it may be a language
    **dict.fromkeys(EITHER, "either"),
    **dict.fromkeys((*WITHOUT_LABELS, *"unused ignore ignored exclude excluded none".split()), ""),
}
PARTS_COLUMN = re.compile(r"(^|[\W_]|k)(splits?|usage|partition|subset|folds?)([\W_]?id)?$", re.IGNORECASE)
_FLAG_NAME = re.compile(r"(is|in)[\W_]*([a-z]+?)([\W_]*set)?", re.IGNORECASE)
_ENDING = re.compile(r"(set|data|split|part|rows)$")


def parts_named(values: Iterable[str]) -> dict[str, str] | None:
    """The part that each value names, '' for rows of no part; None where a value is no such word.

    Case, separators and a word such as "set" at the end do not matter.
    """
    found = {}
    for value in values:
        word = re.sub(r"[\W_]+", "", value.casefold())
        part = _MEANING.get(word, _MEANING.get(_ENDING.sub("", word)))
        if part is None:
            return None
        found[value] = part
    either = "validation" if "test" in found.values() else "test"
    return {value: either if part == "either" else part for value, part in found.items()}


def is_part_word(value: str) -> bool:
    """Whether a value names a part of a dataset, and not rows of no part."""
    return any((parts_named([value]) or {}).values())


def flagged_part(column: str) -> str | None:
    """The part whose rows a column such as is_test marks, by its name."""
    flag = _FLAG_NAME.fullmatch(column.strip())
    return (parts_named([flag[2]]) or {}).get(flag[2]) or None if flag else None


def says_parts(column: str) -> bool:
    """Whether a column's name says that its numbers or flags are those of parts or folds."""
    return bool(PARTS_COLUMN.search(column)) or flagged_part(column) is not None
