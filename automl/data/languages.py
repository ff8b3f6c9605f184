"""Which languages the texts are in: told where most rows leave no doubt, and left untold where they do.

py3langid carries its model with it (139 languages, naive Bayes over byte sequences) and needs no network.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from automl.data.columns import as_text
from automl.data.leakage import Keyed, first_rows
from automl.data.pieces import evenly, rows_at
from automl.types import Finding

_MOST_ROWS = 5_000
_MOST_CHARACTERS = 1_000
_FEWEST_LETTERS = 40
_SURE = 0.9
_FEWEST_ROWS = 5
_NO_WORDS = re.compile(r"https?://\S+|www\.\S+|[@#]\w+|[\d_]+")


def find_languages(part: Keyed, inputs: Sequence[str]) -> list[Finding]:
    """A note where texts are in another language than English, or in several. rows: those not in the most frequent.

    Of each text column up to 5,000 rows from all over the part are looked at. A text is counted where forty letters
    or more are left without links, names and numbers, and the language is sure to 0.9.
    """
    findings = []
    for name in inputs:
        column = part.rows.table[name]
        places = evenly(len(column), _MOST_ROWS)
        told = [_language(text) for text in as_text(rows_at(column, places)).to_pylist()]
        counts = Counter(language for language in told if language is not None)
        known = counts.total()
        usual = {language: rows for language, rows in counts.most_common() if rows >= min(_FEWEST_ROWS, known)}
        if not usual or list(usual) == ["en"]:
            continue
        main = next(iter(usual))
        others = np.zeros(len(column), np.bool_)
        others[[place for place, one in zip(places, told, strict=True) if one in usual and one != main]] = True
        shares = ", ".join(f"{language} {rows / known:.1%}" for language, rows in list(usual.items())[:8])
        findings.append(
            Finding(
                kind="languages",
                severity="note",
                count=int(others.sum()) or usual[main],
                what=f"{part.name}: {name!r} is in {shares} of the {known:,} texts that tell their language, "
                f"of {len(places):,} looked at (codes of ISO 639)",
                suggestion="name models with --models that know these languages",
                rows=first_rows(part.numbers, others),
                part=part.name,
            )
        )
    return findings


def _language(text: str | None) -> str | None:
    """The code of a text's language; None where that is not sure."""
    words = _NO_WORDS.sub(" ", (text or "")[:_MOST_CHARACTERS])
    if sum(map(str.isalpha, words)) < _FEWEST_LETTERS:
        return None
    language, probability = _identifier().classify(words)
    return str(language) if probability >= _SURE else None


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
