"""Examples quote rows of the data: as text, cut, and only where the page says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from automl.data.images import data_uri
from automl.leaderboard.board import make_board
from automl.leaderboard.examples import examples, marked
from automl.leaderboard.report import write_report
from automl.leaderboard.store import RunFolder
from automl.tracking.describe import WITHOUT_ROWS
from tests.leaderboard.run_folder import Contest, Plan
from tests.leaderboard.test_report import Page

HOSTILE_TEXTS = (
    "</script><script>alert(1)</script>",
    WITHOUT_ROWS,
    "<img src=x onerror=alert(2)> {{ 7 * 7 }} & so on",
    "\u202eright to left\u0000 and null\n\nlines",
    "long " * 400,
)


def contest(tmp_path: Path, **values: Any) -> RunFolder:
    plans = values.pop("plans", [Plan(name="a/full", accuracy=0.3, seed_sd=0), Plan(name="b/full", accuracy=0.1)])
    return Contest(path=tmp_path / "run", plans=plans, texts=HOSTILE_TEXTS, rows=200, **values).build()


def page_of(folder: RunFolder) -> tuple[Page, str]:
    source = write_report(folder, make_board(folder, "test")).read_text(encoding="utf-8")
    page = Page()
    page.feed(source)
    return page, source


def test_the_page_quotes_the_rows_and_says_so(tmp_path: Path) -> None:
    folder = contest(tmp_path)
    page, source = page_of(folder)
    text = " ".join(" ".join(page.text).split())
    assert "This section quotes rows of the data." in text
    assert ("meta", {"name": "automl-data-rows", "content": "quoted"}) in page.elements
    assert WITHOUT_ROWS not in source  # even where a row holds these very words
    scores = json.loads(folder.scores_file.read_text(encoding="utf-8"))
    mistakes = scores["rows"][0]["mistakes"]
    assert len(mistakes) == 10
    told = text[text.index("Examples of mistakes") :]
    for one in mistakes:
        cells = f"({one['place']})"
        assert cells in told or "…" in told


def test_quoted_text_stays_text(tmp_path: Path) -> None:
    page, source = page_of(contest(tmp_path))
    assert not {tag for tag, _ in page.elements} & {"img", "iframe"}
    assert sum(tag == "script" for tag, _ in page.elements) == source.count("<script")
    assert "\u202e" not in source
    assert "\x00" not in source
    assert "49 & so on" not in "".join(page.text)


def test_a_page_without_examples_says_that_it_quotes_none(tmp_path: Path) -> None:
    folder = contest(tmp_path)
    (folder.data / "test.arrow").unlink()
    page, source = page_of(folder)
    assert WITHOUT_ROWS in source
    assert "Examples of mistakes" not in "".join(page.text)


def test_a_finding_that_quotes_a_cell_makes_the_page_say_so(tmp_path: Path) -> None:
    folder = contest(tmp_path)
    (folder.data / "test.arrow").unlink()
    profile = folder.profile()
    finding = {"kind": "constant_column", "severity": "note", "count": 1, "rows": [], "suggestion": "leave it out"}
    profile["findings"].append({**finding, "what": "column 'city' has the one value 'Ulm'"})
    (folder.data / "profile.json").write_text(json.dumps(profile))
    page, source = page_of(folder)
    assert WITHOUT_ROWS not in source
    assert "This table quotes values of the data." in " ".join(page.text)


def test_leaderboard_files_quote_no_row(tmp_path: Path) -> None:
    folder = contest(tmp_path)
    page_of(folder)
    for file in (folder.leaderboard_md, folder.leaderboard_json):
        text = file.read_text(encoding="utf-8")
        assert "alert(" not in text
        assert "long long" not in text


def test_examples_come_from_the_best_rank_only(tmp_path: Path) -> None:
    plans = [Plan(name="a/full", accuracy=0.95), Plan(name="b/full", accuracy=0.3)]
    folder = contest(tmp_path, plans=plans)
    board = make_board(folder, "test")
    scores = json.loads(folder.scores_file.read_text(encoding="utf-8"))
    assert {one["name"] for one in examples(folder, board, scores)} <= {"a/full"}


def test_pictures_are_shown_whatever_their_column_is_called_and_their_folders_are_not_told(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow comes with image tasks")
    folder = contest(tmp_path)
    files = []
    for number in range(200):
        files.append(tmp_path / "of this machine" / f"{number}.png")
        files[-1].parent.mkdir(exist_ok=True)
        image.new("RGB", (8, 8), (number, 0, 0)).save(files[-1])
    test = pa.table({"row": range(200), "scan": [str(file) for file in files]})
    with pa.OSFile(str(folder.data / "test.arrow"), "wb") as room, pa.ipc.new_file(room, test.schema) as writer:
        writer.write_table(test)
    told = folder.read_contest()
    folder.write_contest(told | {"schema": told["schema"] | {"task": "image-classification", "inputs": ["scan"]}})
    varied = {
        "column": "scan",
        "before": data_uri(image.new("RGB", (9, 9))),
        "after": data_uri(image.new("L", (9, 9))),
    }
    row = {"row": 3, "label": "a", "inputs": [varied]}
    tried = {"contender": "a/full", "won": False, "recipe": {"augmentation": "trivial"}, "rows": [row]}
    folder.varied_file.write_text(json.dumps(tried))
    page, source = page_of(folder)
    assert "No winning recipe varies what it is trained on; one that was tried for a/full does" in source
    shown = [values for tag, values in page.elements if tag == "img"]
    assert {varied["before"], varied["after"]} <= {values["src"] for values in shown}
    assert len(shown) == 20 + 2, "ten of each contender of the best rank, and a varied row before and after"
    assert all(str(values["src"]).startswith("data:image/png;base64,") for values in shown)
    assert "of this machine" not in source


def test_varied_rows_are_shown_with_what_went_and_what_came(tmp_path: Path) -> None:
    folder = contest(tmp_path, plans=[Plan(name="a/full", accuracy=1.0, seed_sd=0)])
    before, _ = page_of(folder)
    assert "Training inputs, varied" not in " ".join(before.text)
    row = {
        "column": "text",
        "before": f"good <b>film</b> {HOSTILE_TEXTS[0]}",
        "after": f"film good {HOSTILE_TEXTS[0]}",
    }
    told = {
        "contender": "a/full", "won": True, "recipe": {"word_noise": 0.1},
        "rows": [{"row": 7, "label": "x", "inputs": [row]}],
    }  # fmt: skip
    folder.varied_file.write_text(json.dumps(told))
    page, source = page_of(folder)
    text = " ".join(" ".join(page.text).split())
    assert "The winning recipe of a/full varies what it is trained on (word_noise 0.1)." in text
    assert "<ins>film</ins> good <del>&lt;b&gt;film&lt;/b&gt;</del>" in source
    assert "<script>alert(1)" not in source
    assert ("meta", {"name": "automl-data-rows", "content": "quoted"}) in page.elements


def test_marks_are_of_whole_words_and_long_texts_are_cut() -> None:
    assert marked("a b c d", "a c b d") == [("same", "a"), ("in", "c"), ("same", "b"), ("out", "c"), ("same", "d")]
    assert marked("a b", "a b") == [("same", "a b")]
    long = marked("word " * 900, "word " * 880, longest=100)
    assert sum(len(text) for _, text in long) <= 100
