"""Who sees which rows: stratified parts that depend on the rows' content and the seed alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from automl.data.pieces import PIECE_ROWS, by_pieces

TEST_SHARE = 0.2
MOST_TEST_ROWS = 20_000
VALIDATION_SHARES = (0.15, 0.10)
VALIDATION_TURN = 600
MOST_VALIDATION_ROWS = 5_000
Digests = npt.NDArray[np.bytes_]


def row_digests(table: pa.Table, inputs: Sequence[str], labels: pa.ChunkedArray) -> Digests:
    """One 16-byte SHA-256 prefix a row, of its input texts and its label, whatever file it stands in."""
    columns = [*(table[name] for name in inputs), labels]
    rows = pa.Table.from_arrays(columns, names=[str(place) for place in range(len(columns))])
    return by_pieces(digests_of, rows, "taking fingerprints of the rows")


def digests_of(rows: pa.Table) -> Digests:
    """The same of all columns of a table, at once."""
    columns = [pc.fill_null(column.cast(pa.large_string()), "") for column in rows.columns]
    joined = pc.binary_join_element_wise(*columns, pa.scalar("\x1f", pa.large_string()))
    sha256 = hashlib.sha256
    # no vectorised cryptographic hash exists; a million rows take about a second
    digests = [sha256(text.encode("utf-8", "surrogatepass")).digest()[:16] for text in joined.to_pylist()]
    return np.array(digests, dtype="S16").reshape(len(digests))


def fingerprint(digests: Digests) -> str:
    """SHA-256 of the sorted rows: equal where two parts hold the same rows in any order."""
    padded = np.sort(digests).astype("S16").tobytes()
    return hashlib.sha256(padded).hexdigest()


def combined_fingerprint(parts: Mapping[str, str]) -> str:
    """One fingerprint for the whole split, of those of its parts."""
    text = "\n".join(f"{part} {parts[part]}" for part in sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()


def test_rows(rows: int) -> int:
    """How many rows become the test: a fifth, at most 20,000 (an interval of under 0.7 points)."""
    return min(round(rows * TEST_SHARE), MOST_TEST_ROWS)


def validation_rows(rows: int) -> int:
    """How many of the other rows become the validation: 15%, above 600 rows 10%, at most 5,000 rows."""
    small, large = VALIDATION_SHARES
    return min(max(min(round(rows * small), VALIDATION_TURN), round(rows * large)), MOST_VALIDATION_ROWS)


def stratified_cut(
    labels: npt.NDArray[Any],
    digests: Digests,
    size: int,
    seed: int,
    salt: str,
    keep: int = 1,
    groups: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.bool_]:
    """Where a row goes into the new part of about `size` rows, every class in its share.

    A row's place in its class comes from a hash of its content, the seed and the salt: never from its place
    in the file, so that the same rows are cut the same way on every machine and in every order. Each class
    gives at least one row where `keep` rows of it stay behind.
    groups: equal numbers go together, with the row of theirs whose hash comes first; without, every row goes alone.
    """
    places = _places(digests, seed, salt)
    leaders = member_of = np.arange(len(labels))
    if groups is not None:
        order = np.lexsort((places, groups))
        # the first of a group leads it: its class and its place are those of the group
        first = np.concatenate(([True], np.diff(groups[order]) != 0)) if len(order) else np.empty(0, np.bool_)
        leaders = order[first]
        member_of = np.empty(len(labels), np.int64)
        member_of[order] = np.cumsum(first) - 1
    weights = np.bincount(member_of, minlength=len(leaders))
    classes, codes = np.unique(labels[leaders], return_inverse=True)
    counts = np.bincount(codes, weights=weights, minlength=len(classes)).astype(np.int64)
    taken = np.zeros(len(leaders), np.bool_)
    by_class = np.lexsort((places[leaders], codes))
    starts = np.searchsorted(codes[by_class], np.arange(len(classes)))
    for start, end, quota, count in zip(
        starts, [*starts[1:], len(by_class)], _quotas(counts, size, keep), counts, strict=True
    ):
        candidates = by_class[start:end]
        taken[candidates[_filling(weights[candidates], int(quota), int(count) - keep)]] = True
    return np.asarray(taken[member_of], np.bool_)


def _filling(weights: npt.NDArray[np.int64], quota: int, most: int) -> npt.NDArray[np.int64]:
    """Which groups, in their order, make up a quota of rows, each by half at least; or else one of the smallest.

    most: rows that the class can give.
    """
    if not len(weights) or weights.max() == 1:
        return np.arange(min(quota, len(weights)))
    chosen, rows = [], 0
    for place, weight in enumerate(weights.tolist()):
        if rows + weight / 2 <= quota and rows + weight <= most:
            chosen.append(place)
            rows += weight
    smallest = int(weights.argmin())
    if not chosen and quota > 0 and weights[smallest] <= most:
        chosen = [smallest]
    return np.array(chosen, np.int64)


def latest_cut(times: npt.NDArray[np.float64], digests: Digests, size: int, seed: int, salt: str) -> Any:
    """Where a row is one of the `size` latest; those of one time are told apart by a hash of their content."""
    order = np.lexsort((_places(digests, seed, salt), times))
    chosen = np.zeros(len(times), np.bool_)
    chosen[order[len(order) - size :]] = True
    return chosen


def _quotas(counts: npt.NDArray[np.int64], size: int, keep: int) -> npt.NDArray[np.int64]:
    """Rows per class by the largest remainder, within one and what leaves `keep` behind."""
    most = np.maximum(counts - keep, 0)
    exact = counts * (size / max(counts.sum(), 1))
    quota = np.floor(exact).astype(np.int64)
    left = max(size - int(quota.sum()), 0)
    quota[np.argsort(-(exact - quota), kind="stable")[:left]] += 1
    return np.asarray(np.minimum(np.maximum(quota, 1), most), np.int64)


def _places(digests: Digests, seed: int, salt: str) -> npt.NDArray[Any]:
    key = hashlib.sha256(f"{seed}:{salt}".encode()).digest()
    blake = hashlib.blake2b
    # tobytes, for numpy cuts trailing zero bytes from an element
    found = np.empty(len(digests), ">u8")
    for start in range(0, len(digests), PIECE_ROWS):
        flat = digests[start : start + PIECE_ROWS].astype("S16").tobytes()
        pieces = (flat[place : place + 16] for place in range(0, len(flat), 16))
        hashed = b"".join(blake(piece, digest_size=8, key=key).digest() for piece in pieces)
        found[start : start + PIECE_ROWS] = np.frombuffer(hashed, ">u8")
    return found


def rows_sha256(numbers: npt.NDArray[np.int64], labels: pa.ChunkedArray) -> str:
    """SHA-256 of the rows' numbers and labels in their order."""
    digest = hashlib.sha256(np.ascontiguousarray(numbers, dtype="<i8").tobytes())
    digest.update("\x1f".join(labels.to_pylist()).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
