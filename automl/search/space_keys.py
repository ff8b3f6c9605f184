"""The keys that a recipe may have, and the values of each that mean anything at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from automl.tasks.variations import VARIATIONS

RECIPE_LIMITS: Mapping[str, tuple[float, float]] = {
    "learning_rate": (1e-9, 10.0),
    "batch_size": (1, 65_536),
    "weight_decay": (0.0, 10.0),
    "dropout": (0.0, 0.95),
    "head_dropout": (0.0, 0.95),
    "frozen_share": (0.0, 1.0),
    "head_only_share": (0.0, 1.0),
    "release_share": (0.0, 1.0),
    "bottom_lr_ratio": (1e-6, 1.0),
    "release_lr_scale": (1e-6, 1.0),
    "warmup_share": (0.0, 1.0),
    "label_smoothing": (0.0, 0.95),
    "gradient_clip": (1e-6, 1e6),
}
RECIPE_KEYS = tuple(RECIPE_LIMITS)
"""The keys that every recipe has."""


@dataclass(frozen=True)
class OwnKey:
    """A key that not every recipe has.

    values: the numbers (lowest, highest) or the words that it may be.
    adaptation: whose sections must say it, while no other may; None: any section may say it, none must.
    """

    values: tuple[float, float] | frozenset[str]
    adaptation: str | None = None


OWN_KEYS: Mapping[str, OwnKey] = {
    "lora_rank": OwnKey((1, 1_024), "lora"),
    "lora_dropout": OwnKey((0.0, 0.95), "lora"),
    "optimizer": OwnKey(frozenset({"adamw", "sgd"})),
    "momentum": OwnKey((0.0, 0.999)),
    "imbalance": OwnKey(frozenset({"none", "logit_adjust", "class_balanced", "balanced_sampler"})),
    "logit_adjust_tau": OwnKey((0.0, 10.0)),
    "class_balanced_beta": OwnKey((0.0, 1 - 1e-9)),
    "augmentation": OwnKey(frozenset({"none", "trivial"})),
    "mixup_alpha": OwnKey((0.0, 10.0)),
    "smallest_crop": OwnKey((0.05, 1.0)),
    "mirror_share": OwnKey((0.0, 1.0)),
    "word_noise": OwnKey((0.0, 0.5)),
}
WHOLE_NUMBERS = frozenset({"batch_size", "lora_rank"})

DATA_FACTS: Mapping[str, str] = {
    "class_ratio": "training rows of the largest class for one of the smallest",
    "training_rows": "rows that are trained on",
    **{
        f"augment_{name}": f"1 where --augment allows {name}: {one.of}, {one.what}"
        for name, one in VARIATIONS.items()
    },
}
"""What `when_data` may ask of the data, and what it is."""


def required_keys(adaptation: str) -> tuple[str, ...]:
    """The keys that every recipe of an adaptation has."""
    return RECIPE_KEYS + tuple(name for name, key in OWN_KEYS.items() if key.adaptation == adaptation)


def known_keys(adaptation: str) -> tuple[str, ...]:
    """The keys that a recipe of an adaptation may have, in the order in which recipes show them."""
    return RECIPE_KEYS + tuple(n for n, key in OWN_KEYS.items() if key.adaptation in (None, adaptation))
