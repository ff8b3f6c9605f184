"""How training inputs may be varied, by name: which a search tries unless a user says otherwise.

Varying must not change a label, and no file says what would. So only what hardly ever does is tried by itself, and
that not where a class is named after what it changes; a user who knows the inputs may name more, or less.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from automl.errors import RequestError


@dataclass(frozen=True)
class Variation:
    """key: that of a recipe which says it. of: what is varied. default: whether it is tried without being named."""

    key: str
    of: str
    what: str
    default: bool


VARIATIONS: Mapping[str, Variation] = {
    "trivial": Variation("augmentation", "pictures", "each shifted, sheared, turned or changed in tone", True),
    "mixup": Variation("mixup_alpha", "pictures", "two mixed, labels too; from 20,000 training rows on", True),
    "crop": Variation("smallest_crop", "pictures", "a part of each that holds at least half of it", False),
    "mirror": Variation("mirror_share", "pictures", "half of them mirrored, left for right", False),
    "words": Variation("word_noise", "texts", "a tenth of the words left out, or moved", False),
}

_WORDS = frozenset(
    "left right up down upper lower top bottom middle center centre centered centred north south east west "
    "turned rotated rotation unrotated tilted tilt upright sideways straight crooked skewed slanted sheared shifted "
    "horizontal vertical diagonal clockwise counterclockwise anticlockwise degrees "
    "bright dark dim pale overexposed underexposed lowcontrast blurred blurry sharp unsharp focus out in of "
    "red green blue yellow purple pink brown black white grey gray colour color coloured colored monochrome".split()
)
"""What pictures are varied in: where things are, how they are turned, how bright, sharp and coloured they are."""


def names_what_varies(class_name: str) -> bool:
    """Whether a class is named after what varies, and after nothing else: "rotated 90", not "blue jay"."""
    words = re.findall(r"[^\W\d_]+", class_name.lower())
    return bool(words) and all(word in _WORDS for word in words)


def allowed(
    names: Iterable[str], classes: Sequence[str] = (), offered: Collection[str] = tuple(VARIATIONS)
) -> frozenset[str]:
    """The variations that a search may try: the default ones, those named, and not those named no-NAME, or `none`.

    classes: where one is named after what varies, only what a user named is tried. offered: what the task can vary.
    Raises RequestError where one is named that nobody knows, with the near miss, or that the task has not.
    """
    known, problems = (*VARIATIONS, "none"), []
    on = set() if any(map(names_what_varies, classes)) else {n for n, one in VARIATIONS.items() if one.default}
    for name in names:
        plain = name.removeprefix("no-")
        if plain not in known or name == "no-none":
            near = difflib.get_close_matches(plain, known, n=1)
            problems.append(f"variation {plain!r} is unknown" + (f"; did you mean {near[0]!r}?" if near else ""))
        elif plain == "none":
            on.clear()
        elif name != plain:
            on.discard(plain)
        elif plain not in offered:
            problems.append(f"variation {plain!r} is of {VARIATIONS[plain].of}, and there are none here")
        else:
            on.add(plain)
    if problems:
        raise RequestError(
            "; ".join(problems),
            f"none, or some of {', '.join(n for n in VARIATIONS if n in offered)}, each also as no-NAME",
            "Change --augment",
            problems=problems,
        )
    return frozenset(on & set(offered))
