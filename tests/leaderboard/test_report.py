"""The report is one file that needs no network, and no text from data becomes markup in it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from automl.errors import RunFolderError
from automl.leaderboard.board import Leaderboard, make_board
from automl.leaderboard.chart import label
from automl.leaderboard.explain import money, reasons_to_trust, space_table, takeaways
from automl.leaderboard.report import inline_json, write_report
from automl.leaderboard.store import RunFolder
from automl.metrics import get_metric
from tests.leaderboard.run_folder import Contest, Plan

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<b>bold</b> & <img src=x onerror=alert(2)>",
    "@accent",
    "$x^2$ %{x}",
)


class Page(HTMLParser):
    """What a browser makes of a page: its elements, and the text of its script elements by id."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.text: list[str] = []
        self._script: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._script = dict(attrs).get("data-chart") if tag == "script" else None
        if tag == "script" and self._script is None:
            self._script = "code"

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        else:
            self.text.append(data)


def report(tmp_path: Path, **values: Any) -> tuple[Page, str, RunFolder]:
    plans = values.pop(
        "plans", [Plan(name="a/full", accuracy=0.95, default_accuracy=0.93), Plan(name="b/full", accuracy=0.85)]
    )
    folder = Contest(path=tmp_path / "run", plans=plans, **values).build()
    path = write_report(folder, make_board(folder, "test"))
    source = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(source)
    return page, source, folder


def test_the_report_tells_the_whole_story(tmp_path: Path) -> None:
    page, _, _ = report(tmp_path)
    text = " ".join(" ".join(page.text).split())
    for words in (
        "a/full wins", "The board", "Why to trust it", "The search", "What goes wrong", "The data",
        "3 duplicates removed", "The protocol", "Deviations", "Openings of the test", "What was searched",
        "Environment", "learning_rate", "log scale", "opened once", "2 done, 2 stopped early", "What a point costs",
        "2 whole trials: too few to tell", "What was tried", "calibration error (ECE, points)",
        "Other metrics on the test rows, with 95% intervals",
    ):  # fmt: skip
        assert words in text, words
    assert {
        "scores",
        "history",
        "curves-0",
        "curves-1",
        "confusion-0",
        "confusion-1",
        "recipes-0",
        "calibration-0",
        "calibration-1",
        "cost-search",
    } <= set(page.scripts)


def test_the_report_holds_the_further_numbers_and_what_device_time_costs(tmp_path: Path) -> None:
    folder = Contest(
        path=tmp_path / "run", plans=[Plan(name="a", accuracy=0.95), Plan(name="b", accuracy=0.8)]
    ).build()
    folder.write_contest(folder.read_contest() | {"price_per_hour": 36.0})
    board = make_board(folder, "test")
    text = re.sub(r"<[^>]+>", " ", write_report(folder, board).read_text(encoding="utf-8"))
    for words in (
        "Every comparison behind the ranks", "seeds on which it is better", "How much the search promised too much",
        "32 at a time, ms (p50 / p95)", "peak memory in training", "money", "worst class, its recall",
        "Equal time, equal trials", "What more budget would bring",
    ):  # fmt: skip
        assert words in text, words
    spent = sum(row.device_seconds for row in board.rows)
    cost = dict(takeaways(board, get_metric("accuracy")))["What it costs"]
    assert f"At 36 an hour of device time that is {spent / 100:.2f}." in cost


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    page, _, _ = report(tmp_path)
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    styles = "".join(page.text)
    assert "@import" not in styles
    assert "url(" not in styles


def test_hostile_labels_and_names_stay_text(tmp_path: Path) -> None:
    plans = [Plan(name="<i>x</i>|y/full", accuracy=0.9), Plan(name="broken<script>", accuracy=0, failed=True)]
    page, source, _ = report(tmp_path, classes=HOSTILE, plans=plans)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"i", "b", "img", "iframe"}
    assert "alert(1)" not in "".join(page.scripts["code"])
    assert sum(tag == "script" for tag, _ in page.elements) == source.count("<script")
    text = "".join(page.text)
    assert all(one in text for one in HOSTILE)
    for name, figure in page.scripts.items():
        if name != "code":
            assert not re.search("[<>]", figure), name
            assert not re.search(r"<(b|i|img|script)", json.dumps(json.loads(figure))), name


def test_every_chart_says_what_it_shows_and_has_axes_and_a_table(tmp_path: Path) -> None:
    page, source, _ = report(tmp_path)
    charts = [name for name in page.scripts if name != "code"]
    for name in charts:
        layout = json.loads(page.scripts[name])["layout"]
        assert layout["xaxis"]["title"]["text"]
        assert layout["yaxis"]["title"]["text"] or name == "scores" or name.startswith("recipes")
    figures = re.findall(r"<figure>.*?</figure>", source, re.S)
    assert len(figures) == len(charts)
    for figure in figures:
        assert "<figcaption><strong>" in figure
        assert "<details><summary>The same as a table</summary>" in figure
        assert figure.count("<tr>") >= 2


def test_pruned_trials_end_in_a_cross(tmp_path: Path) -> None:
    page, _, _ = report(tmp_path)
    traces = json.loads(page.scripts["curves-0"])["data"]
    assert [trace["marker"]["symbol"][-1] for trace in traces] == ["circle", "x", "circle", "x"]


def test_a_board_that_is_not_comparable_says_so_before_anything_else(tmp_path: Path) -> None:
    plans = [Plan(name="a", accuracy=0.9), Plan(name="b", accuracy=0.9, finals=[1])]
    page, source, _ = report(tmp_path, plans=plans)
    text = " ".join("".join(page.text).split())
    assert text.index("A rule of a fair comparison was broken") < text.index("The board")
    assert "Undecided" in text
    assert "Why to trust it" not in text


def test_many_classes_and_no_trials_still_make_a_report(tmp_path: Path) -> None:
    plans = [Plan(name="a", accuracy=0.9, trials=0)]
    page, _, _ = report(tmp_path, classes=[f"class {n}" for n in range(40)], plans=plans, rows=2_000)
    assert "history" not in page.scripts
    assert "texttemplate" not in json.loads(page.scripts["confusion-0"])["data"][0]


def test_a_run_that_was_not_scored_says_which_command_does_it(tmp_path: Path) -> None:
    folder = Contest(path=tmp_path / "run", plans=[Plan(name="a", accuracy=0.9)]).build()
    board = make_board(folder, "test")
    folder.scores_file.unlink()
    with pytest.raises(RunFolderError, match="automl board"):
        write_report(folder, board)


def test_writing_the_report_does_not_open_the_test_again(tmp_path: Path) -> None:
    _, _, folder = report(tmp_path)
    assert len(folder.test_accesses()) == 1


def test_text_for_plotly_has_no_tags_entities_or_formulas() -> None:
    assert label("<b>x</b> &amp; $y$") == "&lt;b&gt;x&lt;/b&gt; &amp;amp; &#36;y&#36;"
    assert label("long " * 20, 12) == "long long l…"


def test_json_in_a_script_cannot_end_it() -> None:
    text = inline_json({"a": "</script><!-- \u2028 &"})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"a": "</script><!-- \u2028 &"}


def test_the_page_is_a_few_megabytes_and_holds_all_of_plotly(tmp_path: Path) -> None:
    page, source, _ = report(tmp_path)
    assert len(source) < 3_000_000
    start = source.index('id="plotly">') + len('id="plotly">')
    packed = source[start : source.index("</script>", start)]
    assert gzip.decompress(base64.b64decode(packed)).decode("utf-8") == get_plotlyjs()


def test_two_reports_of_one_board_are_the_same(tmp_path: Path) -> None:
    _, source, folder = report(tmp_path)
    board = Leaderboard.from_json(json.loads(folder.leaderboard_json.read_text(encoding="utf-8")))
    assert write_report(folder, board).read_text(encoding="utf-8") == source


def test_a_run_scored_before_calibration_was_kept_still_makes_a_report(tmp_path: Path) -> None:
    _, _, folder = report(tmp_path)
    board = Leaderboard.from_json(json.loads(folder.leaderboard_json.read_text(encoding="utf-8")))
    scores = json.loads(folder.scores_file.read_text(encoding="utf-8"))
    for row in scores["rows"]:
        del row["calibration"], row["mistakes"]
    folder.scores_file.write_text(json.dumps(scores), encoding="utf-8")
    page = write_report(folder, board).read_text(encoding="utf-8")
    assert "The board" in page
    assert "calibration-0" not in page


def test_a_range_that_does_not_hold_in_the_first_trial_shows_no_first_value() -> None:
    rates = [
        {"name": "learning_rate", "low": 1e-5, "high": 1e-3, "when": [{"optimizer": ["adamw"]}]},
        {"name": "learning_rate", "low": 1e-3, "high": 0.1, "when": [{"optimizer": ["sgd"]}]},
    ]
    first = {"optimizer": "adamw", "learning_rate": 1e-4}
    table = space_table({"parameters": rates, "first_trials": [first], "fixed": {}})
    assert [(told.split(", where ")[1], value) for _, told, value in table] == [
        ("optimizer is adamw", "0.0001"),
        ("optimizer is sgd", "–"),
    ]


def test_finals_that_a_time_limit_left_out_are_not_claimed(tmp_path: Path) -> None:
    folder = Contest(path=tmp_path / "run", plans=[Plan(name="a/full", accuracy=0.9)]).build()
    board = make_board(folder, "test")
    one_final = tuple(replace(row, seeds=row.seeds[:1]) if row.kind == "contender" else row for row in board.rows)
    metric = get_metric(board.metric)
    told = " ".join(reasons_to_trust(replace(board, rows=one_final), metric))
    assert "Not every contender had the 3 finals that were planned; the one with the fewest had 1." in told
    assert "on at least 1 fresh seed that" in told
    assert "on 3 fresh seeds that" in " ".join(reasons_to_trust(board, metric))
    assert "1 final training each" in dict(takeaways(replace(board, rows=one_final), metric))["What is not known"]
    alike = board.protocol | {"statistics": board.protocol["statistics"] | {"detectable_difference": 0.0}}
    told = dict(takeaways(replace(board, protocol=alike), metric))["What is not known"]
    assert "do equally well on every row" in told
    assert "0.0 points would" not in told


@pytest.mark.parametrize(
    ("value", "told"), [(None, "–"), (0, "0.00"), (4.2e-5, "under 0.01"), (0.126, "0.13"), (1234.5, "1,234.50")]
)
def test_money_is_told_to_a_hundredth(value: float | None, told: str) -> None:
    assert money(value) == told
