"""Texts varied at random: some of their words left out, or in each other's place.

These are the two operations of EDA that need no other source of words (Wei and Zou 2019, arXiv 1901.11196). For
pretrained encoders no consistent gain was found, even with little data (Longpre et al. 2020, Findings of EMNLP), and
a word left out may be the one that decides: so no search tries it unless a user says so.
"""

from __future__ import annotations

import re

import numpy as np

_WORD = re.compile(r"\S+")


def varied_words(text: str, share: float, generator: np.random.Generator) -> str:
    """The text as it is, or without that share of its words, or with so many of them swapped: evenly often each.

    What parts the words stays where it was. A text of one word stays as it is, as do scripts that part none.
    """
    kind, words = int(generator.integers(3)), _WORD.findall(text)
    if kind == 0 or len(words) < 2:
        return text
    gaps = _WORD.split(text)
    if kind == 1:
        kept = generator.random(len(words)) >= share
        if not kept.any():
            kept[generator.integers(len(words))] = True
        return gaps[0] + "".join(word + gap for word, gap, stays in zip(words, gaps[1:], kept, strict=True) if stays)
    for _ in range(max(1, round(share * len(words)))):
        one, other = generator.choice(len(words), 2, replace=False)
        words[one], words[other] = words[other], words[one]
    return gaps[0] + "".join(word + gap for word, gap in zip(words, gaps[1:], strict=True))
