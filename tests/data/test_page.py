"""The page of an inspection: whole without a network, and safe whatever the data holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from automl.cli import main
from automl.data.profile import Inspection, inspect
from automl.data.write import write_rows
from tests.data.test_boxes import write_voc
from tests.pictures import picture, write_pictures

HOSTILE = ("</style><script>alert(1)</script>", "<img src=x onerror=alert(2)> {{ 7 * 7 }}", "a\u202eb\x07c\x92d")


class Elements(HTMLParser):
    """What a browser makes of a page: its elements, and its text on one line."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def pictures(self) -> list[str]:
        return [str(values["src"]) for tag, values in self.tags if tag == "img"]


def messages(path: Path, extra: dict[str, str] | None = None) -> str:
    texts = {
        f"{'call the number' if n % 3 else 'see you at noon'} and say {n * n}": "ab"[n % 3 > 0] for n in range(60)
    }
    texts |= {"word " * 400: "a"} | (extra or {})
    write_rows(pa.table({"text": [*texts, "SEE you at noon and say 0"], "label": [*texts.values(), "b"]}), path)
    return str(path)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    return inspect(messages(tmp_path_factory.mktemp("page") / "a.csv", dict.fromkeys(HOSTILE, "<b>b</b>")))


def test_the_page_tells_what_was_read_guessed_and_found_and_shows_rows_of_each_class(seen: Inspection) -> None:
    page = Elements(seen.to_html())
    for words in (
        "65 rows for text-classification", "its name says so", "read as UTF-8, comma-separated, 65 rows",
        "exact duplicates: 1", "conflicting labels: 2", "train rows 0, 64", "381 to 400", "This page quotes rows",
    ):  # fmt: skip
        assert words in page.text
    for finding in seen.findings:
        assert finding.what.split("<")[0] in page.text
        assert finding.suggestion in page.text
    assert page.text.count("see you at noon and say 0 ") >= 2, "a row stands beside what repeats or contradicts it"
    assert "SEE you at noon and say 0" in page.text


def test_no_text_of_the_data_becomes_markup_and_no_control_character_stays_one(seen: Inspection) -> None:
    source = seen.to_html()
    assert not {tag for tag, _ in Elements(source).tags} & {"script", "img", "b", "iframe", "link rel=stylesheet"}
    assert not re.search("[\x00-\x08\x7f-\x9f\u202e]", source)
    assert r"a\u202eb\x07c\x92d" in Elements(source).text
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", source)


def test_a_page_of_pictures_shows_pairs_side_by_side_broken_files_and_some_of_each_class(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "set", 12)
    picture("circle", 3).save(folder / "circle" / "again.png")
    Image.new("RGB", (32, 32)).save(folder / "bar" / "cut.png")
    (folder / "bar" / "cut.png").write_bytes((folder / "bar" / "cut.png").read_bytes()[:50])
    page = Elements(inspect(str(folder)).to_html())
    assert len(page.pictures()) == 2 + 3 * 8
    assert all(one.startswith("data:image/png;base64,") for one in page.pictures())
    assert re.search(r"train rows 25 .* again\.png", page.text)
    assert "cut.png" in page.text
    assert "32 × 32" in page.text


def test_boxes_are_drawn_and_counted_by_class(tmp_path: Path) -> None:
    page = Elements(inspect(str(write_voc(tmp_path / "set"))).to_html())
    assert "cell 3 75.0%" in page.text
    assert len(page.pictures()) >= 3


def test_a_table_without_text_has_a_page(tmp_path: Path) -> None:
    columns = {"age": [20 + n % 7 for n in range(40)], "job": ["ab"[n % 2] for n in range(40)]}
    write_rows(pa.table(columns | {"y": ["no" if n % 3 else "yes" for n in range(40)]}), tmp_path / "a.csv")
    page = Elements(inspect(str(tmp_path / "a.csv")).to_html())
    assert "40 rows for tabular-classification" in page.text
    assert "20 to 26" in page.text


def test_the_command_writes_the_page_and_keeps_standard_output_for_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = messages(tmp_path / "a.csv")
    assert main(["inspect", source, "--html", str(tmp_path / "a.html"), "--json"]) == 0
    assert capsys.readouterr().out.startswith("{")
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    for wrong in ("a.csv", "gone/a.html"):
        assert main(["inspect", source, "--html", str(tmp_path / wrong)]) == 2
        assert "--html is" in capsys.readouterr().err
    assert Path(source).read_text(encoding="utf-8").startswith('"text","label"')
