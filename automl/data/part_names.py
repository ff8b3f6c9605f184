"""Names of files, folders and splits: which of them are the training, validation and test rows of a dataset."""

from __future__ import annotations

import re
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
