"""A run says why it tries remedies for unequal classes and varied inputs, or why not."""

from __future__ import annotations

from automl.search.reasons import imbalance_reason, variation_reason
from automl.search.space import load_space
from automl.tasks.image_classification import ImageClassification
from automl.tasks.text_classification import TextClassification

CNN, BERT = load_space("image_classifier_cnn", "full"), load_space("text_encoder_small", "full")


def test_remedies_are_told_with_the_classes_that_asked_for_them() -> None:
    counts = {"ham": 65, "spam": 10}
    searched = [BERT.for_data({"class_ratio": 6.5})]
    assert imbalance_reason(counts, searched) == (
        "logit adjust, class balanced, balanced sampler tried beside none: "
        "the largest class, 'ham', has 6.5 training rows for one of the smallest, 'spam'"
    )
    assert imbalance_reason(counts, [BERT.for_data({})]).startswith("none tried: the largest class, 'ham', has 6.5")


def test_variations_are_told_with_what_would_have_them_tried() -> None:
    pictures, texts, things = ImageClassification(), TextClassification(), {"cat": 3, "dog": 3}
    assert variation_reason(pictures, (), things, [CNN.for_data({"augment_trivial": 1, "augment_mirror": 1})]) == (
        "tried beside none: trivial (pictures, each shifted, sheared, turned or changed in tone); "
        "mirror (pictures, half of them mirrored, left for right)"
    )
    plain = [CNN.for_data({})]
    turned = variation_reason(pictures, (), {"cat": 3, "turned left": 3}, plain)
    assert turned.startswith("not tried: the class 'turned left' is named after what varies; to be had with")
    assert "it is not searched" in variation_reason(pictures, (), things, plain)
    assert variation_reason(pictures, ("none",), things, plain).startswith("none, unless --augment says so (trivial")
    assert variation_reason(texts, (), things, [BERT.for_data({})]) == "none, unless --augment says so (words)"
