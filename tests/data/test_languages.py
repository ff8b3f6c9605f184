"""Languages are told where texts leave no doubt, and English alone is not worth a word."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from automl.data.profile import inspect
from automl.data.write import write_rows
from automl.types import Finding

ENGLISH = "The parcel arrived three days late and the box was open on one side, item {}."
GERMAN = "Das Paket kam drei Tage zu spät an, und der Karton war an einer Seite offen, Artikel {}."
SPANISH = "El paquete llegó con tres días de retraso y la caja estaba abierta por un lado, artículo {}."


def languages(path: Path, texts: list[str]) -> list[Finding]:
    labels = ["ab"[row % 2] for row in range(len(texts))]
    write_rows(pa.table({"text": texts, "label": labels}), path / "a.csv")
    return [one for one in inspect(str(path / "a.csv"), text="text").findings if one.kind == "languages"]


def test_rows_in_another_language_than_most_are_named(tmp_path: Path) -> None:
    texts = [(SPANISH if row % 5 == 2 else ENGLISH).format(row) for row in range(60)]
    (found,) = languages(tmp_path, texts)
    assert (found.count, found.rows[:3]) == (12, (2, 7, 12))
    assert "en 80.0%, es 20.0% of the 60 texts" in found.what


def test_one_language_that_is_not_english_is_told_and_english_is_not(tmp_path: Path) -> None:
    (found,) = languages(tmp_path, [GERMAN.format(row) for row in range(40)])
    assert "de 100.0%" in found.what
    assert (found.count, found.rows) == (40, ())
    assert not languages(tmp_path, [ENGLISH.format(row) for row in range(40)])


def test_short_texts_links_and_a_single_doubtful_row_tell_nothing(tmp_path: Path) -> None:
    assert not languages(tmp_path, [f"ja gut {row}" for row in range(40)])
    assert not languages(
        tmp_path, [f"https://beispiel.de/das-ist-ein-langer-verweis-auf-deutsch/{n}" for n in range(40)]
    )
    assert not languages(tmp_path, [SPANISH.format(0), *(ENGLISH.format(row) for row in range(40))])
