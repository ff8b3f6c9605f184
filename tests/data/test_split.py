"""The sizes of the parts, and who goes where."""

import numpy as np
import pyarrow as pa
import pytest

from automl.data.split import fingerprint, row_digests, stratified_cut, test_rows, validation_rows

test_rows.__test__ = False  # a function of ours, whatever its name says to the collector


def digests_of(count):
    table = pa.table({"text": [f"row {n}" for n in range(count)]})
    return row_digests(table, ("text",), pa.chunked_array([["x"] * count]))


@pytest.mark.parametrize(("rows", "test", "validation"), [(100, 20, 15), (4000, 800, 600), (10**6, 20_000, 5000)])
def test_parts_are_a_share_with_a_cap(rows, test, validation):
    assert test_rows(rows) == test
    assert validation_rows(rows) == validation


def test_a_cut_has_the_size_that_was_asked_for():
    labels = np.array(["a"] * 70 + ["b"] * 25 + ["c"] * 5)
    chosen = stratified_cut(labels, digests_of(100), 20, 0, "test")
    assert [int(chosen[labels == name].sum()) for name in "abc"] == [14, 5, 1]


def test_a_class_always_leaves_a_row_behind():
    labels = np.array(["a"] * 20 + ["b"])
    chosen = stratified_cut(labels, digests_of(21), 5, 0, "test")
    assert not chosen[20]


def test_seed_and_salt_change_the_rows_chosen():
    labels, digests = np.array(["a"] * 100), digests_of(100)
    cuts = [stratified_cut(labels, digests, 20, seed, salt) for seed, salt in ((0, "x"), (1, "x"), (0, "y"))]
    assert not any(np.array_equal(cuts[0], other) for other in cuts[1:])


def test_the_fingerprint_ignores_the_order_of_the_rows():
    digests = digests_of(50)
    assert fingerprint(digests) == fingerprint(digests[::-1])
    assert fingerprint(digests) != fingerprint(digests[:-1])


def test_text_and_label_do_not_run_into_each_other():
    one = row_digests(pa.table({"text": ["ab"]}), ("text",), pa.chunked_array([["c"]]))
    two = row_digests(pa.table({"text": ["a"]}), ("text",), pa.chunked_array([["bc"]]))
    assert one[0] != two[0]


def test_groups_go_whole_and_small_enough_ones_fill_a_class():
    labels = np.array(["a"] * 60 + ["b"] * 30)
    groups = np.concatenate((np.repeat(np.arange(12), 5), np.repeat(np.arange(20, 23), 10)))
    chosen = stratified_cut(labels, digests_of(90), 18, 0, "test", groups=groups)
    assert not {*groups[chosen]} & {*groups[~chosen]}
    assert int(chosen[:60].sum()) == 10
    assert int(chosen[60:].sum()) == 10  # 6 were due: the smallest group stands for them


def test_groups_of_one_row_are_cut_as_rows_are():
    labels = np.array(["a"] * 60 + ["b"] * 30)
    alone = stratified_cut(labels, digests_of(90), 18, 0, "test")
    assert np.array_equal(alone, stratified_cut(labels, digests_of(90), 18, 0, "test", groups=np.arange(90)[::-1]))
