"""What is tried by itself, what a user may name, and what of it a search space then offers."""

from __future__ import annotations

import pytest

from automl.errors import RequestError
from automl.search.space import SearchSpace, check_file, shipped_directory
from automl.tasks.image_classification import ImageClassification
from automl.tasks.text_classification import TextClassification
from automl.tasks.variations import VARIATIONS, allowed

PICTURES, TEXTS = ImageClassification.variations, TextClassification.variations


def test_only_what_hardly_ever_changes_a_label_is_tried_by_itself() -> None:
    assert allowed((), ("3", "8"), PICTURES) == {"trivial", "mixup"}
    assert allowed((), ("spam", "ham"), TEXTS) == set()
    assert PICTURES | TEXTS == set(VARIATIONS)


def test_a_user_adds_and_takes_away_by_name() -> None:
    assert allowed(("mirror", "no-mixup"), ("cat", "dog"), PICTURES) == {"trivial", "mirror"}
    assert allowed(("none",), ("cat", "dog"), PICTURES) == set()
    assert allowed(("none", "crop"), ("cat", "dog"), PICTURES) == {"crop"}
    assert allowed(("words",), ("spam", "ham"), TEXTS) == {"words"}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("miror",), "variation 'miror' is unknown; did you mean 'mirror'?"),
        (("no-none",), "'none' is unknown"),
        (("mirror",), "variation 'mirror' is of pictures, and there are none here"),
    ],
)
def test_what_is_unknown_or_of_other_inputs_is_refused(names: tuple[str, ...], told: str) -> None:
    with pytest.raises(RequestError, match=told.replace("?", r"\?")):
        allowed(names, (), TEXTS)


SPACES = [space for file in sorted(shipped_directory().glob("*.yaml")) for space in check_file(file)]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"{space.name}-{space.adaptation}")
def test_shipped_spaces_vary_what_is_allowed_after_a_plain_first_trial(space: SearchSpace) -> None:
    task = ImageClassification() if space.name.startswith("image") else TextClassification()
    offered = set() if space.adaptation == "frozen" else {VARIATIONS[name].key for name in task.variations}

    def searched(facts: dict[str, float], trials: int = 24) -> set[str]:
        fitted = space.for_data(facts).for_trials(trials)
        assert not any(task.is_augmented(fitted.complete(first)) for first in fitted.first_trials)
        return {p.name for p in fitted.parameters} & {one.key for one in VARIATIONS.values()}

    everything = {f"augment_{name}": 1.0 for name in VARIATIONS} | {"training_rows": 20_000.0}
    assert searched(everything) == offered
    assert searched({}) == set()
    assert searched(everything | {"training_rows": 19_999.0}) == offered - {"mixup_alpha"}
    named = {one.key for name, one in VARIATIONS.items() if not one.default}
    assert searched(everything, trials=3) == offered & named, "what a user asks for is tried with few trials too"
