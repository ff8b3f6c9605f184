"""The example is what its README says: made up, flawed on purpose, learnable and not trivial."""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

EXAMPLE = Path(__file__).parents[1] / "automl" / "example"


def rows() -> list[tuple[str, str]]:
    with open(EXAMPLE / "messages.csv", encoding="utf-8", newline="") as file:
        return [(row["message"], row["intent"]) for row in csv.DictReader(file)]


def folded(text: str) -> str:
    return " ".join(text.lower().split())


def clean() -> tuple[list[str], list[str]]:
    """Every message once, with its one intent."""
    intents = defaultdict(set)
    for message, intent in rows():
        if message and intent:
            intents[folded(message)].add(intent)
    kept = {message: next(iter(known)) for message, known in intents.items() if len(known) == 1}
    return list(kept), list(kept.values())


def test_the_readme_says_that_it_is_made_up_and_counts_rightly() -> None:
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert "It is made up" in text
    assert f"holds {len(rows())} short messages" in text
    for intent in set(clean()[1]):
        assert f"`{intent}`" in text


def test_the_flaws_are_those_that_the_readme_lists() -> None:
    found = rows()
    exact = sum(count - 1 for count in Counter(found).values())
    seen, varied = {}, 0
    for message, intent in found:
        first = seen.setdefault((folded(message), intent), message)
        varied += first != message
    intents = defaultdict(set)
    for message, intent in found:
        intents[folded(message)].add(intent)
    assert (exact, varied) == (6, 5)
    assert sum(len(known) > 1 for known in intents.values()) == 2
    assert sum(not message for message, _ in found) == 1
    assert sum(not intent for _, intent in found) == 1


def test_no_intent_is_rare_and_messages_vary_in_length() -> None:
    messages, intents = clean()
    counts = Counter(intents)
    assert min(counts.values()) > 0.6 * max(counts.values())
    words = np.array([len(message.split()) for message in messages])
    assert words.min() <= 2
    assert words.max() >= 40


def test_words_alone_learn_much_of_it_but_not_all() -> None:
    messages, intents = clean()
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    accuracy = cross_val_score(model, messages, intents, cv=folds).mean()
    assert 0.65 < accuracy < 0.9
