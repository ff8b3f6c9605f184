"""Several cuts of the same rows: each fair to every class, none the same, and all on record."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from automl.config import make_request
from automl.data.folds import FOLDS, cut_folds, describe_folds, read_fold
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared, read_part, read_training_rows
from automl.data.split import row_digests
from automl.errors import DataError, RequestError

LABELS = np.array(["a"] * 60 + ["b"] * 30 + ["c"] * 4 + ["d"] * 2 + ["e"])


def digests_of(count):
    table = pa.table({"text": [f"row {n}" for n in range(count)]})
    return row_digests(table, ("text",), pa.chunked_array([["x"] * count]))


def cut(folds, cuts, labels=LABELS, **options):
    return cut_folds(labels, digests_of(len(labels)), folds, cuts, options.pop("seed", 0), **options)


def test_every_row_judges_once_and_every_class_in_its_share():
    masks = cut(5, 5)
    judged = np.sum(masks, axis=0)
    assert judged.tolist() == [1] * 96 + [0], "the only row of its class always trains"
    for mask in masks:
        assert [int(mask[LABELS == name].sum()) for name in "ab"] == [12, 6]
        assert set(LABELS[~mask]) == set("abcde")


def test_further_cuts_part_the_rows_anew():
    masks = cut(3, 7)
    assert len(masks) == 7
    assert len({mask.tobytes() for mask in masks}) == 7
    for parting in (masks[:3], masks[3:6]):
        assert np.sum(parting, axis=0).tolist() == [1] * 96 + [0]
    assert all(np.array_equal(one, other) for one, other in zip(masks[:3], cut(3, 3), strict=True))


def test_the_rows_decide_and_not_their_order_or_their_number_of_cuts():
    digests, order = digests_of(len(LABELS)), np.random.default_rng(0).permutation(len(LABELS))
    here = describe_folds(cut_folds(LABELS, digests, 4, 4, 0), digests)
    there = describe_folds(cut_folds(LABELS[order], digests[order], 4, 4, 0), digests[order])
    assert here == there
    other = describe_folds(cut_folds(LABELS, digests, 4, 4, 1), digests)
    assert {fold.validation_sha256 for fold in here}.isdisjoint(fold.validation_sha256 for fold in other)


def test_groups_are_never_parted_and_a_class_of_one_group_always_trains():
    groups = np.concatenate((np.repeat(np.arange(30), 3), [90, 90, 90, 90], [91, 92], [93]))
    masks = cut(5, 10, groups=groups)
    for mask in masks:
        assert not {*groups[mask]} & {*groups[~mask]}
        assert not mask[LABELS == "c"].any()
        assert set(LABELS[~mask]) == set("abcde")


def test_folds_too_small_to_judge_are_refused():
    with pytest.raises(RequestError, match=r"--folds 20 would part 97 rows into folds of 4; .*Ask for fewer --folds"):
        cut(20, 20)


def rows_file(path, rows=120):
    lines = [f"some words about number {n},{'yes' if n % 3 else 'no'},{n // 4},{n}" for n in range(rows)]
    path.write_text("\n".join(["text,label,author,day", *lines]) + "\n")
    return str(path)


def run(tmp_path, folder="data", **options):
    source = options.pop("source", None) or rows_file(tmp_path / "rows.csv")
    request = make_request({"source": source, "target": "label", "text": "text"} | options)
    return prepare(request, tmp_path / folder)


def test_the_test_is_that_of_one_cut_and_the_rest_is_told_of_every_fold(tmp_path):
    once, prepared = run(tmp_path, "once"), run(tmp_path, folds=4, seeds=5)
    assert prepared.split.test == once.split.test
    assert prepared.split.fingerprint != once.split.fingerprint
    assert prepared.counts == {"train": 72, "validation": 24, "test": 24}
    assert [fold.number for fold in prepared.folds] == [1, 2, 3, 4, 5]
    assert load_prepared(prepared.directory) == prepared
    pool = read_part(prepared.directory, "pool")
    for fold in prepared.folds:
        judges = read_fold(prepared.directory, fold.number)
        assert (int((~judges).sum()), int(judges.sum())) == (fold.train, fold.validation)
        (seen,) = describe_folds([judges], row_digests(pool, ("text",), pool["label"]))
        assert seen == replace(fold, number=1)
    told = json.loads((prepared.directory / "split.json").read_text())
    assert [one["validation_sha256"] for one in told["folds"]] == [one.validation_sha256 for one in prepared.folds]
    assert "4 folds, parted anew until there are 5 cuts" in prepared.split.strategy


def test_a_fold_that_is_not_there_is_told(tmp_path):
    prepared = run(tmp_path, folds=2, seeds=1)
    with pytest.raises(DataError, match=rf"{FOLDS} holds no cut 3"):
        read_fold(prepared.directory, 3)


def test_an_author_stays_on_one_side_of_every_fold(tmp_path):
    prepared = run(tmp_path, folds=3, seeds=1, group="author")
    pool = read_part(prepared.directory, "pool")["row"].to_numpy() // 4
    for fold in prepared.folds:
        judges = read_fold(prepared.directory, fold.number)
        assert not {*pool[judges]} & {*pool[~judges]}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"validation": True}, r"--folds 3 and --validation .* are both given; .*Leave one of them out"),
        ({"time": "day"}, r"--folds 3 and --time day are both given; validation on rows later"),
        ({"source": "folder"}, r"the source has a validation split of its own \(20 rows\).*Leave --folds out"),
    ],
)
def test_what_folds_contradict_is_refused_in_three_parts(tmp_path, options, said):
    given = dict(options)
    if given.get("validation"):
        given["validation"] = rows_file(tmp_path / "validation.csv", 20)
    if given.get("source"):
        (tmp_path / "folder").mkdir()
        rows_file(tmp_path / "folder" / "train.csv")
        rows_file(tmp_path / "folder" / "validation.csv", 20)
        given["source"] = str(tmp_path / "folder")
    with pytest.raises(RequestError, match=said):
        run(tmp_path, folds=3, **given)


def test_what_a_fold_learns_from_is_read_in_the_order_of_its_encoded_rows(tmp_path):
    prepared = run(tmp_path, folds=3, seeds=1)
    pool = read_part(prepared.directory, "pool")
    for fold in prepared.folds:
        rows = read_training_rows(prepared.directory, fold.number)
        assert rows["row"].to_pylist() == pool["row"].to_numpy()[~read_fold(prepared.directory, fold.number)].tolist()
    once = read_training_rows(prepared.directory, None)
    assert once.equals(read_training_rows(prepared.directory, 1).combine_chunks())
