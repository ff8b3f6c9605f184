"""What is nearly the same is found, counted once, and kept on one side of a cut; what is only similar is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from automl.config import make_request
from automl.data.near import alike_pictures, alike_texts
from automl.data.prepare import prepare
from automl.data.prepared import load_prepared, read_part
from automl.data.profile import inspect
from automl.errors import DataError, RequestError
from automl.types import Finding, PreparedData
from tests.pictures import picture, write_pictures

FIRST = "the storm took the roof off the old barn by the river last night".split()


def sentence(number: int) -> str:
    """Sentences that share no run of words."""
    draw = np.random.default_rng(number)
    return " ".join("".join(draw.choice(list("abcdefghijklmnop"), 6)) for _ in range(9))


def write(path: Path, rows: list[tuple[str, ...]], header: str = "text,label") -> Path:
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


def found(path: Path, kind: str, **options: str) -> list[Finding]:
    return [finding for finding in inspect(str(path), **options).findings if finding.kind == kind]


def test_texts_are_alike_by_what_they_share_and_by_chains_of_it() -> None:
    storm = " ".join(FIRST)
    texts = [
        storm,
        storm.upper() + "!! https://t.co/x1",
        storm.replace("old", "odd"),
        sentence(1),
        "?!",
        "..",
        sentence(2),
    ]
    codes = alike_texts(texts)
    assert codes[0] == codes[1] == codes[2]
    assert len(set(codes.tolist())) == 5


def test_pictures_are_alike_when_only_their_grain_differs() -> None:
    one = np.asarray(picture("circle", 1, 64).convert("L").resize((16, 16)))
    grain = np.random.default_rng(0).integers(-2, 3, one.shape)
    miniatures = [
        one,
        np.clip(one + grain, 0, 255),
        np.asarray(picture("circle", 2, 64).convert("L").resize((16, 16))),
    ]
    codes = alike_pictures([m.astype(np.uint8).tobytes() for m in miniatures] + [b"", b""])
    assert codes[0] == codes[1]
    assert len(set(codes.tolist())) == 4


def test_near_rows_are_counted_beside_the_equal_ones(tmp_path: Path) -> None:
    storm = " ".join(FIRST)
    train = [(sentence(n), "ab"[n % 2]) for n in range(30)] + [
        (storm, "a"),
        (storm, "a"),
        (storm + " http://x.y/z", "a"),
    ]
    test = [(storm + "!", "a"), (sentence(3), "b"), (sentence(99), "a")]
    path, given = write(tmp_path / "a.csv", train), write(tmp_path / "b.csv", test)
    assert [(f.count, f.rows) for f in found(path, "near_duplicates")] == [(1, (32,))]
    assert [(f.count, f.rows) for f in found(path, "near_split_overlap", test=str(given))] == [(1, (0,))]
    assert [(f.count, f.rows) for f in found(path, "split_overlap", test=str(given))] == [(1, (1,))]


def test_near_twins_of_given_rows_leave_train_on_record_where_that_is_asked(tmp_path: Path) -> None:
    storm = " ".join(FIRST)
    train = [(sentence(n), "ab"[n % 2]) for n in range(40)] + [
        (f"{storm} {end}", "a") for end in ("!", "w http://x.y")
    ]
    given = [(storm, "a"), (sentence(3), "b"), (sentence(77), "b")]
    extra = [(sentence(5) + " z", "b"), (storm + "?!", "a"), (sentence(78), "a")]
    path = write(tmp_path / "a.csv", train)
    files = {"test": write(tmp_path / "b.csv", given), "validation": write(tmp_path / "c.csv", extra)}

    told = found(path, "near_split_overlap", **{name: str(file) for name, file in files.items()})
    assert [(one.what.partition(":")[0], one.rows) for one in told] == [
        ("validation rows that nearly stand in train too", (0, 1)),
        ("test rows that nearly stand in train too", (0,)),
    ]
    assert ["near-overlaps takes 3 rows out of train" in one.suggestion for one in told] == [True, False]

    def prepared(name: str, clean: tuple[str, ...]) -> tuple[PreparedData, list[dict[str, Any]]]:
        values = {"source": str(path), "clean": clean, **{part: str(file) for part, file in files.items()}}
        data = prepare(make_request(values), tmp_path / name)
        return data, json.loads((tmp_path / name / "cleaning.json").read_text())["repairs"]

    kept, repairs = prepared("kept", ())
    assert not [one for one in repairs if one["kind"] == "near_split_overlap"]
    assert {40, 41} <= set(kept.split.train)
    left, repairs = prepared("left", ("near-overlaps",))
    removed = [one for one in repairs if one["kind"] == "near_split_overlap"]
    assert {one["part"] for one in removed} == {"train"}
    assert sorted(row for one in removed for row in one["rows"]) == [5, 40, 41]
    assert not {5, 40, 41} & set(left.split.train)
    assert (left.counts["test"], left.counts["validation"]) == (3, 3), "given rows are never taken out"


def test_of_too_many_rows_some_are_compared_and_the_findings_say_of_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(f"{sentence(n // 2)}{' indeed' * (n % 2)}", "ab"[n // 2 % 2]) for n in range(80)]
    path = write(tmp_path / "rows.csv", rows)
    test = write(tmp_path / "test.csv", [(f"{sentence(0)} truly", "a"), *rows[60:62]])
    assert [one.count for one in found(path, "near_duplicates")] == [40]
    monkeypatch.setattr("automl.data.near.MOST_TEXTS", 63)
    seen = inspect(str(path), test=str(test))
    within, note = (one for one in seen.findings if one.kind == "near_duplicates" and one.part == "train")
    assert (note.severity, note.count) == ("note", 0)
    assert "looked for in 63 of 83 rows" in note.what
    assert "looked for in 63 of 83 rows" in within.what
    assert 0 < within.count < 40
    assert all(rows[row][0].endswith("indeed") for row in within.rows), "rows count in the file, not in the sample"
    (across,) = (one for one in seen.findings if one.kind == "near_split_overlap")
    assert 0 in across.rows
    assert "--clean" not in across.suggestion
    assert seen.near == {}, "a cut does not hold together what chance found"


def test_a_resized_picture_is_a_near_duplicate(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "shapes", 5)
    picture("circle", 77, 64).save(folder / "circle" / "x1.png")
    picture("circle", 77, 64).resize((96, 96)).save(folder / "circle" / "x2.png")
    assert [f.count for f in found(folder, "near_duplicates")] == [1]


def parts(data: PreparedData, column: str) -> dict[str, set[str]]:
    return {p: set(read_part(data.directory, p)[column].to_pylist()) for p in ("train", "validation", "test")}  # type: ignore[arg-type]


def test_near_duplicates_end_on_one_side_of_every_cut(tmp_path: Path) -> None:
    rows = [(f"{sentence(n)} {end}", "ab"[n % 2]) for n in range(60) for end in ("http://a.b/1", "http://a.b/2")]
    data = prepare(make_request({"source": str(write(tmp_path / "a.csv", rows))}), tmp_path / "data")
    assert "near duplicates together" in data.split.strategy
    stems = [{text.rsplit(" ", 1)[0] for text in texts} for texts in parts(data, "text").values()]
    assert all(len(stem) > 0 for stem in stems)
    assert not stems[0] & stems[1]
    assert not stems[0] & stems[2]
    assert not stems[1] & stems[2]
    assert load_prepared(tmp_path / "data") == data


def test_texts_made_after_one_template_are_still_cut(tmp_path: Path) -> None:
    storm = " ".join(FIRST)
    rows = [(f"{storm} {n}", "ab"[n % 2]) for n in range(60)]
    data = prepare(make_request({"source": str(write(tmp_path / "a.csv", rows))}), tmp_path / "data")
    assert data.counts["test"] == 12


def test_rows_of_a_group_end_on_one_side(tmp_path: Path) -> None:
    rows = [(sentence(n), "ab"[n % 2], f"r{n // 5}_{n % 5}") for n in range(100)]
    path = write(tmp_path / "a.csv", rows, "text,label,id")
    assert "names 20 groups of rows" in found(path, "group_overlap")[0].what
    data = prepare(make_request({"source": str(path), "group": "id"}), tmp_path / "data")
    assert "rows of one 'id' (before its last separator) together" in data.split.strategy
    reviews = [{number // 5 for number in getattr(data.split, part)} for part in ("train", "validation", "test")]
    assert sum(len(part) for part in reviews) == 20
    assert data.counts["test"] == 20


def test_rows_of_a_given_part_that_share_a_group_are_counted(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", [(sentence(n), "ab"[n % 2], f"p{n % 9}") for n in range(40)], "text,label,who")
    test = write(
        tmp_path / "b.csv",
        [(sentence(n), "ab"[n % 2], f"p{n}") for n in range(50, 60)] + [("x y", "a", "p3")],
        "text,label,who",
    )
    assert [(f.count, f.rows) for f in found(train, "group_overlap", test=str(test), group="who")] == [(1, (10,))]


def test_a_cut_by_time_gives_the_latest_rows_to_the_test(tmp_path: Path) -> None:
    rows = [(sentence(n), "ab"[n % 2], f"2024-{n % 12 + 1:02}-{n % 27 + 1:02}") for n in range(100)]
    path = write(tmp_path / "a.csv", rows, "text,label,day")
    data = prepare(make_request({"source": str(path), "time": "day"}), tmp_path / "data")
    days = [[rows[number][2] for number in getattr(data.split, part)] for part in ("train", "validation", "test")]
    assert max(days[0]) <= min(days[1])
    assert max(days[1]) <= min(days[2])
    assert data.split.strategy.startswith("test cut from train, the latest rows by 'day'")


@pytest.mark.parametrize(
    "kind",
    [
        pa.date32(), pa.date64(), pa.time32("s"), pa.time64("ns"), pa.duration("s"), pa.timestamp("s"),
        pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ns"),
    ],
    ids=str,
)  # fmt: skip
def test_every_kind_of_time_that_a_table_may_hold_orders_its_rows(tmp_path: Path, kind: pa.DataType) -> None:
    order = np.random.default_rng(0).permutation(100)
    counted = pa.array(order, pa.int32() if kind.bit_width == 32 else pa.int64())
    if kind == pa.date64():
        counted = pa.array(order * 86_400_000)  # whole days
    rows = {"text": [sentence(n) for n in range(100)], "label": ["ab"[n % 2] for n in range(100)]}
    pq.write_table(pa.table({**rows, "when": counted.cast(kind)}), tmp_path / "a.parquet")
    data = prepare(make_request({"source": str(tmp_path / "a.parquet"), "time": "when"}), tmp_path / "data")
    moments = [order[list(getattr(data.split, part))] for part in ("train", "validation", "test")]
    assert moments[0].max() < moments[1].min()
    assert moments[1].max() < moments[2].min()


def test_cuts_that_cannot_be_made_are_errors_in_three_parts(tmp_path: Path) -> None:
    rows = [(sentence(n), "ab"[n > 35], "one", "soon" if n == 7 else f"{n}", f"{n}") for n in range(40)]
    path = str(write(tmp_path / "a.csv", rows, "text,label,who,when,late"))
    for options, message in (
        ({"group": "who"}, "no row is left for the test"),
        ({"time": "when"}, r"1 rows of 'when' tell no time, the first in row 7: 'soon'"),
        ({"group": "whom"}, "did you mean 'who'"),
        ({"group": "label"}, "column 'label' is both --target and --group"),
        ({"time": "late"}, "hold 1 classes that are left nowhere else: 'b'"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(make_request({"source": path, "target": "label", "text": "text", **options}), tmp_path / "data")
    with pytest.raises(RequestError, match="--group and --time are both given"):
        prepare(make_request({"source": path, "group": "who", "time": "when"}), tmp_path / "data")


def test_a_part_of_another_kind_is_told_and_a_like_one_is_not(tmp_path: Path) -> None:
    train = write(
        tmp_path / "a.csv", [(sentence(n), "ab"[n % 2], str(n % 7)) for n in range(120)], "text,label,stars"
    )
    like = write(
        tmp_path / "b.csv", [(sentence(n), "ab"[n % 2], str(n % 7)) for n in range(200, 290)], "text,label,stars"
    )
    short = write(
        tmp_path / "c.csv", [(sentence(n)[:20], "a", str(n % 7)) for n in range(300, 390)], "text,label,stars"
    )
    assert found(train, "drift", test=str(like)) == []
    [drift] = found(train, "drift", test=str(short))
    assert drift.count == 90
    assert "words of 'text' median 9 there, 3 here" in drift.what
    assert "label" not in drift.what


def test_rows_that_repeat_in_every_column_are_told_from_those_that_repeat_a_text(tmp_path: Path) -> None:
    rows = [(sentence(n), "ab"[n % 2], str(n)) for n in range(20)] + [
        (sentence(1), "b", "1"),
        (sentence(2), "a", "77"),
    ]
    [twice] = found(write(tmp_path / "a.csv", rows, "text,label,note"), "exact_duplicates")
    assert twice.count == 2
    assert "2 of them with the same label; 1 of them in every column" in twice.what
