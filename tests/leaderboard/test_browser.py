"""The report in a real browser: on a phone, a tablet and a screen it draws everything and complains of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from automl.data.profile import inspect
from automl.leaderboard.board import make_board
from automl.leaderboard.report import write_report
from tests.leaderboard.browser import NAMES, Browser, find_browser
from tests.leaderboard.run_folder import Contest, Plan
from tests.leaderboard.test_examples import HOSTILE_TEXTS
from tests.leaderboard.test_importance import SPACE, searched
from tests.leaderboard.test_report import HOSTILE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason=f"no browser here: none of {', '.join(NAMES)} is on the PATH"),
]
WIDTHS = (390, 820, 1440)
CROWDED = ("first/full", "<i>second</i>|y/full", "a-contender-with-a-name-that-goes-on-and-on-and-on/frozen")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with every section: hostile names, labels and texts, a failure, and a search of forty trials."""
    plans = [Plan(name=name, accuracy=0.93 - 0.01 * k, trials=0) for k, name in enumerate(CROWDED)]
    plans.append(Plan(name="broken<script>", accuracy=0, failed=True))
    path = tmp_path_factory.mktemp("browser") / "run"
    classes = (*HOSTILE, *(f"a class with quite a long name {k}" for k in range(4)))
    folder = Contest(path=path, plans=plans, classes=classes, texts=HOSTILE_TEXTS).build()
    contest = folder.read_contest()
    folder.write_contest(contest | {"spaces": {name: SPACE for name in CROWDED}})
    for name in CROWDED:
        for trial in searched(40, noise=0.005):
            value = trial.validation or 0.0
            curve = tuple(
                {"samples_seen": s, "train_loss": 1 - s / 1000, "accuracy": value - 0.1 + s / 9000}
                for s in ((300, 900) if trial.status == "completed" else (300,))
            )
            folder.append_trial(replace(trial, id=f"{CROWDED.index(name)}-{trial.id}", contender=name, curve=curve))
    return write_report(folder, make_board(folder, "test"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary = find_browser()
    assert binary is not None
    with Browser(binary, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_draws_without_complaint_or_sideways_scroll(
    browser: Browser, page: Path, width: int, scheme: str
) -> None:
    browser.open(page, width, scheme=scheme)
    browser.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    browser.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 300)))")
    assert browser.complaints == []
    wide, room = browser.evaluate("[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]")
    assert room == width
    assert wide <= room
    drawn = "[...document.querySelectorAll('.chart')].map(one => [one.id, one.querySelectorAll('svg').length])"
    charts = dict(browser.evaluate(drawn))
    assert all(charts.values()), charts
    for kind in ("scores", "history", "cost-search", "importance-0", "recipes-2", "calibration-0", "confusion-2"):
        assert kind in charts


def test_no_text_of_a_picture_runs_out_of_it_on_a_phone(browser: Browser, page: Path) -> None:
    browser.open(page, 390)
    outside = browser.evaluate(
        """[...document.querySelectorAll('.chart')].flatMap(chart => {
            const room = chart.getBoundingClientRect();
            return [...chart.querySelectorAll('text')].filter(text => {
                const own = text.getBoundingClientRect();
                return own.width && (own.right > room.right + 1 || own.left < room.left - 1);
            }).map(text => chart.id + ': ' + text.textContent);
        })"""
    )
    assert outside == []


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (820, "dark"), (1440, "light")])
def test_the_page_of_an_inspection_fits_as_well(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    rows = [f'"{HOSTILE_TEXTS[k % 5]} {"w" * 90} {k // 2}","{HOSTILE[k % 4]}",{"9" * 40}' for k in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label,a column with a long name", *rows]).replace("\0", ""))
    file = tmp_path / "a.html"
    file.write_text(inspect(str(tmp_path / "a.csv")).to_html(), encoding="utf-8")
    browser.open(file, width, scheme=scheme)
    assert browser.complaints == []
    assert browser.evaluate("document.scrollingElement.scrollWidth") <= width
    assert browser.evaluate("[...document.querySelectorAll('.bar')].every(bar => bar.offsetWidth > 0)")
    assert browser.evaluate("document.querySelectorAll('.twins').length") >= 1


def test_dark_and_light_are_different_papers(browser: Browser, page: Path) -> None:
    papers = []
    for scheme in ("light", "dark"):
        browser.open(page, 820, scheme=scheme)
        papers.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
        fill = "getComputedStyle(document.querySelector('#scores .main-svg')).backgroundColor"
        assert browser.evaluate(fill) == papers[-1]
    assert papers[0] != papers[1]


def test_nothing_hostile_was_run(browser: Browser, page: Path) -> None:
    browser.open(page, 820)
    assert browser.evaluate("document.querySelectorAll('main img, main iframe, main i').length") == 0


def test_a_complaint_would_be_heard(browser: Browser, tmp_path: Path) -> None:
    """The other tests' silence means something: errors, warnings and failed loads are all noted."""
    noisy = tmp_path / "noisy.html"
    noisy.write_text(
        "<html data-drawn=yes><body style='width:3000px'><img src='gone.png'><script>console.warn('w');"
        "setTimeout(() => { throw new Error('e'); })</script>"
    )
    browser.open(noisy, 390)
    browser.evaluate("new Promise(done => setTimeout(done, 100))")
    told = " ".join(browser.complaints)
    assert "console.warning" in told
    assert "Error: e" in told
    assert "ERR_FILE_NOT_FOUND" in told
    assert browser.evaluate("document.scrollingElement.scrollWidth") > 390
