"""Does `automl inspect` find what is known to be wrong with real data? Known and found counts side by side.

    python benchmarks/known_flaws.py --data DIR

DIR holds public data sets in folders of these names, as their sources have them; sets that it lacks are named and
left out. The known counts were made with other means. Repetitions are counted after folding case and white space, as
rows beyond the first of their kind. Exits with 1 where a count differs and no reason stands beside it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from automl.data.profile import Inspection, inspect

Count = Callable[[Inspection], int]


@dataclass(frozen=True)
class Flaw:
    """what: in words. known: the count. find: how inspect tells it. reason: of a difference that is meant to be."""

    what: str
    known: int
    find: Count
    reason: str = ""


@dataclass(frozen=True)
class Known:
    """source: a file or folder below the data folder; files: given parts, below it too. options: of inspect."""

    source: str
    flaws: Sequence[Flaw]
    options: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def rows_of(kind: str, part: str = "train", words: str = "") -> Count:
    """The count of the first finding of this kind, part and wording; 0 where there is none."""

    def count(seen: Inspection) -> int:
        told = (f.count for f in seen.findings if f.kind == kind and f.part == part and words in f.what)
        return next(told, 0)

    return count


def groups_of(part: str) -> Count:
    """How many different inputs stand more than once."""

    def count(seen: Inspection) -> int:
        own = seen.keyed[part]
        _, times = np.unique(own.exact[~own.blank], return_counts=True)
        return int((times > 1).sum())

    return count


def read(part: str = "train") -> Count:
    return lambda seen: seen.parts[part].table.num_rows


def is_so(test: Callable[[Inspection], bool]) -> Count:
    """1 where it is so."""
    return lambda seen: int(test(seen))


def whole_rows(seen: Inspection) -> int:
    """Rows that repeat one in every column: what the duplicates' finding says of itself."""
    told = next(finding.what for finding in seen.findings if finding.kind == "exact_duplicates")
    return int(told.rpartition("; ")[2].split()[0].replace(",", "")) if told.endswith("in every column") else 0


def twice(known: int, part: str = "train", reason: str = "") -> Flaw:
    return Flaw(f"repeated rows, {part}", known, rows_of("exact_duplicates", part), reason)


def overlap(known: int, later: str, earlier: str, reason: str = "") -> Flaw:
    words = f"stand in {earlier}"
    return Flaw(f"{later} rows that stand in {earlier}", known, rows_of("split_overlap", later, words), reason)


def shared(known: int, part: str, words: str) -> Flaw:
    return Flaw(f"{part} rows {words} train", known, rows_of("group_overlap", part, f"{words} train"))


TWEETS, TWEETS_TEST = "messy/disaster_tweets_train.csv", "messy/disaster_tweets_test_unlabelled.csv"
PREMISES, EITHER = "whose 'sentence1' stands in", "that share at least one text with"
SETS = [
    Known("sms_spam", [Flaw("rows read", 5574, read()), twice(415), Flaw("rare class", 747, rows_of("imbalance"))]),
    Known("trec", [twice(72), twice(0, "test"), overlap(11, "test", "train")]),
    Known(
        "stsb",
        [
            twice(44), twice(2, "validation"), twice(1, "test"), overlap(6, "validation", "train"),
            overlap(7, "test", "train"), overlap(3, "test", "validation"),
        ],
    ),
    Known("rte", [twice(2), overlap(0, "validation", "train"), shared(26, "validation", PREMISES)]),
    Known(
        "mrpc",
        [
            twice(0), overlap(0, "validation", "train"), overlap(0, "test", "train"),
            shared(43, "validation", EITHER), shared(252, "test", EITHER),
        ],
    ),
    Known(
        "pneumonia_mnist",
        [
            Flaw(
                "pictures that stand more than once, train", 16, groups_of("train"),
                "18 by hand too, by decoded pixels and by the files' bytes",
            ),
            Flaw("pictures that stand more than once, test", 3, groups_of("test")),
            overlap(8, "validation", "train"), overlap(0, "test", "train"),
        ],
    ),
    Known(
        "bccd",
        [
            Flaw("boxes without area, train", 1, rows_of("broken_boxes", "train", "without area")),
            Flaw("boxes without area, validation", 1, rows_of("broken_boxes", "validation", "without area")),
            Flaw("boxes out of their picture", 0, rows_of("broken_boxes", "train", "reach out")),
            twice(0), overlap(0, "test", "train"),
        ],
    ),
    Known(
        "vader_amazon",
        [twice(11), Flaw("300 reviews named as groups", 1, is_so(lambda seen: any(
            "names 300 groups" in finding.what for finding in seen.findings if finding.kind == "group_overlap"
        )))],
    ),
    Known(
        TWEETS,
        [
            twice(112), Flaw(
                "rows of texts with two labels", 55, rows_of("conflicting_labels"),
                "55 to the letter; folding joins one more",
            ),
            overlap(78, "test", "train"),
            Flaw("rows without keyword", 61, rows_of("missing_values", words="'keyword'")),
            Flaw("rows without location", 2533, rows_of("missing_values", words="'location'")),
            Flaw("rows with HTML entities", 359, rows_of("encoding", words="HTML")),
            Flaw("rows with garbled letters", 614, rows_of("encoding", words="garbled")),
        ],
        options={"text": "text", "target": "target"},
        files={"test": TWEETS_TEST},
    ),
    Known(
        "messy/amazon_alexa.tsv",
        [
            Flaw("rows read", 3150, read()),
            Flaw("read as Mac Roman", 1, is_so(lambda seen: seen.parts["train"].read_as.encoding == "mac_roman")),
            twice(781), Flaw(
                "repeated in every column", 723, whole_rows,
                "the 36 that repeat a blank review are not compared; folding joins 3 more",
            ),
            Flaw("reviews of one blank", 79, rows_of("missing_values", words="only white space")),
            Flaw(
                "reviews missing", 1, rows_of("missing_values", words="nothing in"),
                "row 473 says 'None', which pandas reads as nothing; here it is text",
            ),
            Flaw("rare class", 257, rows_of("imbalance")),
        ],
    ),
    Known(
        "messy/bank-additional.csv",
        [
            Flaw("rows read", 4119, read()),
            Flaw("read with semicolons", 1, is_so(lambda seen: seen.parts["train"].read_as.delimiter == "semicolon")),
            Flaw("rows with 'unknown'", 1029, rows_of("missing_values", words="'unknown'")),
            Flaw("rows with pdays 999", 3959, rows_of("sentinel_values", words="'pdays' is 999")),
            Flaw("duration named as a leak", 1, is_so(lambda seen: any(
                "'duration'" in finding.what for finding in seen.findings if finding.kind == "target_leak"
            ))),
            Flaw("rare class", 451, rows_of("imbalance")),
        ],
    ),
    Known(
        "messy/sms_headerless.tsv",
        [
            Flaw("rows read", 5574, read()),
            Flaw("read without header", 1, is_so(lambda seen: not seen.parts["train"].read_as.header)),
            twice(415),
        ],
    ),
    Known(
        "messy/mrpc_dev_bom.tsv",
        [
            Flaw("rows read", 408, read()),
            Flaw("byte-order mark", 1, is_so(lambda seen: seen.parts["train"].read_as.byte_order_mark)),
        ],
    ),
    Known("wnut17", [twice(103), twice(4, "validation"), twice(7, "test"), overlap(0, "test", "train")]),
    Known(
        "dialogsum_small/dev.jsonl",
        [twice(2), twice(1, "test"), overlap(6, "test", "train")],
        options={"text": "dialogue", "target": "summary"},
        files={"test": "dialogsum_small/test.jsonl"},
    ),
    Known("alpaca_small", [twice(14)], options={"text": "instruction,input", "target": "output"}),
    Known("fashion_mnist_small", [Flaw("rows read", 720, read()), twice(0), overlap(0, "test", "train")]),
    Known("german_credit", [Flaw("rows read", 1000, read()), twice(0)]),
    Known("multi30k_en_de", [twice(0), overlap(0, "test", "train")], options={"text": "source_en"}),
]  # fmt: skip


def main() -> int:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder of the data sets")
    data: Path = parser.parse_args().data
    unexplained = 0
    print(f"{'data':<28} {'what':<44} {'known':>6} {'found':>6}")
    for known in SETS:
        paths = [known.source, *known.files.values()]
        missing = [path for path in paths if not (data / path).exists()]
        if missing:
            print(f"{known.source:<28} not there: {', '.join(missing)}")
            continue
        started = time.perf_counter()
        files = {part: str(data / path) for part, path in known.files.items()}
        seen = inspect(str(data / known.source), **known.options, **files)
        seconds = time.perf_counter() - started
        for flaw in known.flaws:
            found = flaw.find(seen)
            differs = found != flaw.known
            unexplained += differs and not flaw.reason
            told = f"  {flaw.reason or 'DIFFERS'}" if differs else ""
            print(f"{known.source[-28:]:<28} {flaw.what:<44} {flaw.known:>6,} {found:>6,}{told}")
        print(f"{known.source[-28:]:<28} {len(seen.findings)} findings in {seconds:.1f} s")
    print(
        f"\n{unexplained} counts differ without a reason"
        if unexplained
        else "\nevery count is equal, or its reason is told"
    )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
