"""Varied texts keep their words' order or their words, and everything between them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from automl.tasks.word_variation import varied_words

TEXT = "  one two  three\nfour five six seven eight nine ten "


def drawn(text: str, share: float = 0.2, times: int = 300) -> list[str]:
    return [varied_words(text, share, np.random.default_rng(seed)) for seed in range(times)]


def test_a_third_stays_as_it_is_and_the_rest_lost_words_or_swapped_them() -> None:
    words = TEXT.split()
    found = drawn(TEXT)
    shorter = [text for text in found if len(text.split()) < len(words)]
    swapped = [text for text in found if sorted(text.split()) == sorted(words) and text != TEXT]
    assert len(shorter) == pytest.approx(100 * (1 - 0.8**10), abs=25)
    assert len(swapped) == pytest.approx(100, abs=25)
    for text in shorter:
        assert [word for word in words if word in text.split()] == text.split(), "in their order"
    lost = np.mean([len(words) - len(text.split()) for text in shorter])
    assert lost == pytest.approx(10 * 0.2 / (1 - 0.8**10), abs=0.5)
    for text in swapped:
        assert re.findall(r"\s+", text) == re.findall(r"\s+", TEXT), "what parts words stays"
        assert sum(one != other for one, other in zip(text.split(), words, strict=True)) <= 4


@pytest.mark.parametrize("text", ["", "   ", "word", "これは一つの文です"])
def test_what_has_no_two_words_stays_as_it_is(text: str) -> None:
    assert set(drawn(text, times=20)) == {text}


def test_never_all_words_are_lost() -> None:
    assert all(text.split() for text in drawn("two words", share=0.5))


def test_the_same_generator_says_the_same() -> None:
    assert drawn(TEXT) == drawn(TEXT)
