"""What the inputs are made of, and the words in which the data room speaks of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Medium:
    """One kind of input.

    noun: one input. option: what names its column. aside: what two equal inputs may differ in.
    unusable_kind, unusable: the repair of training rows whose input holds nothing.
    complete: whether a row of a given validation or test must hold something to be predicted.
    """

    noun: str
    option: str
    aside: str
    unusable_kind: str
    unusable: str
    complete: bool


TEXT = Medium(
    noun="text",
    option="--text",
    aside="case and white space aside",
    unusable_kind="missing_values",
    unusable="rows without text removed",
    complete=False,
)
PICTURE = Medium(
    noun="picture",
    option="--image",
    aside="to the pixel",
    unusable_kind="broken_images",
    unusable="rows whose picture cannot be decoded removed",
    complete=True,
)
