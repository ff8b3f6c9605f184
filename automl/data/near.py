"""Inputs that are nearly the same: texts by MinHash, pictures by their miniatures; within a part and across parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from automl.data.columns import Codes, Hashes, row_keys
from automl.data.images import Look
from automl.data.leakage import Keyed, first_rows, repeated
from automl.data.pieces import taken
from automl.types import Finding

ALIKE = 0.8
"""Two texts are near duplicates from this share of common pieces (Jaccard) of five characters on."""
FAINT = 3.0
"""Two pictures are, where their 16 x 16 grey miniatures differ by so many of 255 steps at most (root mean square)."""
MOST_TEXTS, MOST_PICTURES = 50_000, 20_000
ORDER = ("train", "validation", "test")
"""What is earlier: a later part's rows are looked for in the parts before it."""
_PIECE = 5
_MOST_CHARACTERS = 5_000
_BANDS, _BAND_ROWS = 16, 4  # texts that are alike to 0.8 meet in a band in 9,998 of 10,000 cases
_FEWEST_AGREEING = _BANDS * _BAND_ROWS // 2  # of texts alike to 0.8 one in a hundred million agrees in fewer
_draw = np.random.default_rng(1)
_MIXERS = _draw.integers(2**63, size=_PIECE, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_ORDERS = _draw.integers(2**31, size=(_BANDS * _BAND_ROWS, 1), dtype=np.uint32) * np.uint32(2) + np.uint32(1)
_NEIGHBOURS = 3
_BLOCK = 2_000
_LINK = re.compile(r"https?://\S+|www\.\S+")
_MARKS = re.compile(r"[\W_]+")


def find_near(
    keyed: Mapping[str, Keyed], inputs: Sequence[str], looks: Mapping[str, Sequence[Look]]
) -> tuple[list[Finding], dict[str, Codes]]:
    """Near duplicates of every part, and rows of later parts that nearly stand in an earlier one.

    Rows that are equal are counted elsewhere, not here. Of too many rows a part drawn by chance is compared, and a
    note says so. Also by part the numbers that are equal where rows are nearly equal, over all parts; empty where not
    all rows were compared.
    """
    whole = [keyed[name] for name in ORDER if name in keyed]
    rows, most = sum(len(part.keys) for part in whole), MOST_PICTURES if looks else MOST_TEXTS
    places = _drawn([len(part.keys) for part in whole], most)
    sampled = rows > most
    if looks:
        codes = alike_pictures(
            [looks[part.name][row].miniature for part, chosen in zip(whole, places, strict=True) for row in chosen]
        )
        how = f"pictures whose miniatures differ by {FAINT:g} of 255 steps at most"
    else:
        texts = (_texts(part, chosen, tuple(inputs)) for part, chosen in zip(whole, places, strict=True))
        codes = alike_texts(list(chain.from_iterable(texts)))
        how = f"texts that share {ALIKE:.0%} of their pieces of five characters, links and marks aside"
    parts = [_of_rows(part, chosen) for part, chosen in zip(whole, places, strict=True)] if sampled else whole
    if sampled:
        how += f"; looked for in {most:,} of {rows:,} rows"
    own, start = {}, 0
    for part in parts:
        own[part.name] = codes[start : start + len(part.keys)]
        start += len(part.keys)
    findings: list[Finding] = []
    for place, part in enumerate(parts):
        findings += _within(part, own[part.name], how, sampled)
        findings += _across(part, parts[:place], own, how, sampled)
    if not sampled:
        return findings, own
    note = Finding(
        kind="near_duplicates",
        severity="note",
        count=0,
        what=f"near duplicates were looked for in {most:,} of {rows:,} rows, drawn by chance",
        suggestion="the rest may hold more, on both sides of a cut too, and no repair takes them out",
    )
    return [*findings, note], {}


def _drawn(rows: Sequence[int], most: int) -> list[Codes]:
    """Places of rows in each part, ascending: all of them, or `most` together, as evenly as small parts allow."""
    left, chosen = most, [np.empty(0, np.int64)] * len(rows)
    for waiting, part in enumerate(sorted(range(len(rows)), key=lambda part: rows[part])):
        share = min(rows[part], left // (len(rows) - waiting)) if sum(rows) > most else rows[part]
        chosen[part] = np.sort(np.random.default_rng(0).choice(rows[part], share, replace=False))
        left -= share
    return chosen


def _texts(part: Keyed, places: Codes, inputs: tuple[str, ...]) -> Iterator[str]:
    for piece in taken(part.rows.table.select(list(inputs)), places):
        yield from row_keys(piece, inputs).to_pylist()


def _of_rows(part: Keyed, places: Codes) -> Keyed:
    """What is compared of some of a part's rows."""
    return replace(part, numbers=part.numbers[places], keys=part.keys[places], blank=part.blank[places])


def _across(part: Keyed, before: Sequence[Keyed], own: Mapping[str, Codes], how: str, sampled: bool) -> list[Finding]:
    """What of a later part nearly stands in each earlier one, a row at the first of them that has its like."""
    left = ~part.blank & ~np.isin(
        part.keys, np.concatenate([np.empty(0, np.int64), *(b.keys[~b.blank] for b in before)])
    )
    findings = []
    for earlier in before:
        where = left & np.isin(own[part.name], own[earlier.name][~earlier.blank])
        left &= ~where
        if not where.any():
            continue
        suggestion = "kept: both parts were given; read the validation score with care"
        if earlier.name == "train":
            twins = int((~earlier.blank & np.isin(own["train"], own[part.name][where])).sum())
            suggestion = "kept; the score may be too good: look at a few"
            if not sampled:
                suggestion += (
                    f"; --clean near-overlaps takes {twins:,} row{'s' if twins != 1 else ''} out of train for them"
                )
        findings.append(
            Finding(
                kind="near_split_overlap",
                severity="warn",
                count=int(where.sum()),
                what=f"{part.name} rows that nearly stand in {earlier.name} too: {how}",
                suggestion=suggestion,
                rows=first_rows(part.numbers, where),
                part=part.name,
            )
        )
    return findings


def _within(part: Keyed, codes: Codes, how: str, sampled: bool) -> list[Finding]:
    written = ~part.blank
    twice = repeated(codes, written) & ~repeated(part.keys, written)
    if not twice.any():
        return []
    return [
        Finding(
            kind="near_duplicates",
            severity="warn",
            count=int(twice.sum()),
            what=f"{part.name}: rows that nearly stood before: {how}",
            suggestion="kept, a given part is never changed"
            if part.name != "train"
            else "kept"
            if sampled
            else "kept; those alike go to one side of a cut, save chains of over a twentieth of all rows",
            rows=first_rows(part.numbers, twice),
            part=part.name,
        )
    ]


def alike_texts(texts: Sequence[str]) -> Codes:
    """Numbers that are equal where the texts are nearly equal, by chains of near neighbours."""
    from scipy.cluster.hierarchy import DisjointSet

    plain = [_MARKS.sub(" ", _LINK.sub(" ", text.lower()[:_MOST_CHARACTERS])).strip() for text in texts]
    number = {text: place for place, text in enumerate(dict.fromkeys(plain))}
    different = list(number)
    signatures = np.array([_signature(_pieces(text)) for text in different]).reshape(len(different), -1)
    groups, before = DisjointSet(range(len(different))), -1
    for one, other in _meeting(signatures):
        agreeing = np.count_nonzero(signatures[one] == signatures[other])
        if agreeing < _FEWEST_AGREEING or groups.connected(one, other):
            continue
        # those that meet by chance are told apart by what they share; the pieces of all texts would fill the memory
        if one != before:
            before, own = one, np.unique(_pieces(different[one]))
        others = np.unique(_pieces(different[other]))
        shared = len(np.intersect1d(own, others, assume_unique=True))
        if shared >= ALIKE * (len(own) + len(others) - shared):
            groups.merge(one, other)
    # nothing is left of a text of marks alone: it is like no other
    return np.array(
        [groups[number[text]] if text else len(number) + place for place, text in enumerate(plain)], np.int64
    )


def _signature(pieces: Hashes) -> npt.NDArray[np.uint32]:
    """The least of a text's pieces in each of many orders (MinHash): two agree in as many as their pieces overlap."""
    return np.asarray((pieces.astype(np.uint32) * _ORDERS).min(axis=1), np.uint32)


def _meeting(signatures: npt.NDArray[np.uint32]) -> list[tuple[int, int]]:
    """Pairs of texts that agree in a band of their signatures; in a crowded band only neighbours in its order.

    Texts made after one template crowd a band in thousands: all pairs of them would take hours.
    """
    found = [np.empty(0, np.int64)]
    count = len(signatures)
    for start in range(0, _BANDS * _BAND_ROWS if count else 0, _BAND_ROWS):
        _, bucket = np.unique(signatures[:, start : start + _BAND_ROWS], axis=0, return_inverse=True)
        bucket = bucket.reshape(-1)
        order = np.lexsort((signatures[:, start - 2], signatures[:, start - 1], bucket))
        for step in range(1, _NEIGHBOURS + 1):
            meets = bucket[order][step:] == bucket[order][:-step]
            pair = np.sort(np.stack((order[step:][meets], order[:-step][meets])), axis=0)
            found.append(pair[0] * count + pair[1])
    return [divmod(int(pair), count) for pair in np.unique(np.concatenate(found))]


def _pieces(text: str) -> Hashes:
    """64 bits for every run of five characters, or for the whole of a shorter text."""
    letters = np.frombuffer(text.ljust(_PIECE, "\0").encode("utf-32-le", "surrogatepass"), np.uint32)
    runs = np.lib.stride_tricks.sliding_window_view(letters.astype(np.uint64), _PIECE)
    found = runs @ _MIXERS
    # the end of splitmix64 (Steele, Lea & Flood 2014): so that every letter reaches every bit
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(found ^ (found >> np.uint64(31)), np.uint64)


def alike_pictures(miniatures: Sequence[bytes]) -> Codes:
    """Numbers that are equal where the miniatures are nearly equal; one of its own for each broken picture."""
    whole = np.flatnonzero([bool(miniature) for miniature in miniatures])
    joined = b"".join(miniatures)
    grey = np.frombuffer(joined, np.uint8).reshape(len(whole), -1).astype(np.float32) if joined else np.empty((0, 1))
    lengths = (grey**2).sum(axis=1)
    most = FAINT**2 * grey.shape[1]
    pairs = []
    for start in range(0, len(whole), _BLOCK):
        block = slice(start, start + _BLOCK)
        apart = lengths[block, None] + lengths[None, :] - 2 * grey[block] @ grey.T
        found = np.argwhere(apart <= most)
        found[:, 0] += start
        pairs += [(whole[one], whole[other]) for one, other in found if other < one]
    return chained(len(miniatures), pairs)


def chained(count: int, pairs: Sequence[tuple[int, int]] | npt.NDArray[np.int64]) -> Codes:
    """A number for each of `count` things, equal where a chain of pairs joins them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array(pairs, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)
