"""Names of files, folders and splits: which of them are the training, validation and test rows of a dataset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from automl.data.part_words import EITHER, PART_NAMES, WITHOUT_LABELS

# words that say nothing of which part it is
_FILLERS = frozenset(
    "set sets data dataset datasets split splits image images img imgs picture pictures pic pics photo photos "
    "text texts txt doc docs document documents file files folder dir sample samples example examples input inputs "
    "full final all raw clean new the my".split()
)
_ENDS = re.compile(r"(?<=[a-z]{2})(sets?|data|images?|imgs?|files?)$")
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_OUT = re.compile(r"\b(hold|held)[ _.-]?out\b")


@dataclass(frozen=True, kw_only=True)
class PartName:
    """Which part a name speaks of. other: its words that neither name a part nor are fillers."""

    part: str
    word: str
    other: tuple[str, ...]


def words_of(name: str) -> list[str]:
    """The words of a file's, folder's or split's name in lower case: training, set of 'trainingSet_2'."""
    plain = _OUT.sub("holdout", _CAMEL.sub(" ", name).lower().replace("_", " "))
    words = []
    for word in _WORD.findall(plain):
        stem = _ENDS.sub("", word)
        words += [stem, word[len(stem) :]] if stem != word and _part(stem) else [word]
    return words


def _part(word: str) -> str | None:
    if word in EITHER:
        return "either"
    return next((part for part, names in PART_NAMES.items() if word in names), None)


def named_part(name: str) -> PartName | None:
    """What a name says of the part that it holds; None where no word is a part's, or words of two are.

    part: train, validation or test, or 'either' for what may be either of the last two.
    """
    words = words_of(name)
    parts = {part: word for word in reversed(words) if (part := _part(word))}
    if len(parts) != 1:
        return None
    part, word = next(iter(parts.items()))
    other = tuple(word for word in words if not _part(word) and word not in _FILLERS)
    return PartName(part=part, word=word, other=other)


def part_of(name: str) -> str | None:
    """The part of a name that says nothing else, such as 'Train', 'training_set' or 'test-images'; else None."""
    named = named_part(name)
    return named.part if named is not None and not named.other else None


def lacks_labels(name: str) -> bool:
    """Whether a name says that what it holds has no labels."""
    return bool(set(WITHOUT_LABELS).intersection(words_of(name)))


def is_filler(name: str) -> bool:
    """Whether a name says nothing of what it holds, such as 'images' or 'data_2'."""
    return all(word in _FILLERS for word in words_of(name))


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Names by the part that they hold, several where none is meant more than the others; and those of no use."""

    parts: dict[str, list[str]]
    aside: list[str]


def choose_splits(names: Sequence[str]) -> Chosen:
    """What splits, or files, hold: by names that are a part's alone, else by a word of theirs where all have one."""
    labelled = [name for name in names if not lacks_labels(name)]
    named = {name: named_part(name) for name in labelled}
    found: dict[str, list[str]] = {}
    for part in (*PART_NAMES, "either"):
        exact = [name for name in labelled if _usual(name) is not None and part_of(name) == part]
        if exact or None in named.values():
            found[part] = exact
            continue
        by_word = [name for name, named_as in named.items() if named_as is not None and named_as.part == part]
        # MNLI's two test sets: the one of the same genres as the training rows
        matched = [name for name in by_word if "matched" in words_of(name)]
        found[part] = matched or by_word
    return _settled(names, found)


def choose_folders(names: Sequence[str]) -> Chosen:
    """What folders hold: by names that are a part's alone, or that share what else they say: seg_train and seg_test.

    Without training rows none is a part: a class may be called 'test tube'.
    """
    groups: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for name in names:
        if (named := named_part(name)) is not None and not lacks_labels(name):
            groups.setdefault(named.other, {}).setdefault(named.part, []).append(name)
    with_train = [group for other, group in groups.items() if "train" in group and (not other or len(group) > 1)]
    if "train" in groups.get((), {}):
        return _settled(names, groups[()])
    return _settled(names, with_train[0] if len(with_train) == 1 else {})


def _usual(name: str) -> int | None:
    """How usual a name is that is one word for a part and nothing else, 0 for the most usual; None for another."""
    plain = name.lower()
    orders = (*PART_NAMES.values(), EITHER)
    return next((order.index(plain) for order in orders if plain in order), None)


def _settled(names: Sequence[str], found: dict[str, list[str]]) -> Chosen:
    parts = {}
    for part, held in found.items():
        if held:
            orders = {name: 99 if (order := _usual(name)) is None else order for name in held}
            parts[part] = [name for name in held if orders[name] == min(orders.values())]
    either = parts.pop("either", None)
    if either and "train" in parts and (free := [part for part in ("test", "validation") if part not in parts]):
        parts[free[0]] = either
    parts = {part: parts[part] for part in PART_NAMES if part in parts}
    used = {name for held in parts.values() for name in held}
    return Chosen(parts=parts, aside=[name for name in names if name not in used])
