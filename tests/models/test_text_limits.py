"""What a model does not read is counted with its own tokenizer, to the token."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from automl.cli import main
from automl.models.base import ModelFamily
from automl.models.text_limits import limit_sentences, reach
from automl.registry import get_part
from tests.toys import FILLER, tiny_bert, tiny_contender


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("limits") / "tiny", layers=1)


def words(count: int) -> str:
    return " ".join(FILLER[number % len(FILLER)] for number in range(count))


def test_a_text_fits_to_the_last_token_and_one_more_is_cut(model: Path) -> None:
    contender = tiny_contender(model)
    family = get_part("automl.models", ModelFamily, contender.family)  # type: ignore[type-abstract]
    table = pa.table({"text": [words(62), words(63), None, "short"], "other": [None, None, words(63), words(59)]})
    found = reach(contender.checkpoint, family, table, ("text",))
    assert found is not None
    assert (found.tokens, found.cut.tolist()) == (64, [False, True, False, False])
    pair = reach(contender.checkpoint, family, table, ("text", "other"))
    assert pair is not None
    assert pair.cut.tolist() == [True, True, True, False], "a pair has one more mark, and fits with 61 words"


def test_a_run_tells_it_once_for_each_model(model: Path) -> None:
    table = pa.table({"text": [words(80), words(80), "short"]})
    both = [tiny_contender(model), tiny_contender(model, "frozen")]
    assert limit_sentences(both, table, ("text",)) == [
        f"{model} reads 64 tokens: of 2 training rows it does not see the end"
    ]
    (told,) = limit_sentences(both, table.slice(2), ("text",))
    assert told.endswith("reads 64 tokens: all training rows fit")


def test_inspect_counts_them_and_refuses_models_that_read_no_text(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{words(70 if number == 3 else 9)} {number},{'ab'[number % 2]}" for number in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]))
    source, page = str(tmp_path / "a.csv"), tmp_path / "a.html"
    assert main(["inspect", source, "--models", str(model), "--json", "--html", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["limits"] == [{"model": str(model), "tokens": 64, "cut": {"train": 1}}]
    assert [one["rows"] for one in told["findings"] if one["kind"] == "too_long"] == [[3]]
    assert "rows cut in train" in page.read_text(encoding="utf-8")
    assert main(["inspect", source, "--models", str(tmp_path / "gone")]) == 2
