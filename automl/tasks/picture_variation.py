"""Pictures varied at random, one operation each: TrivialAugment (Müller and Hutter 2021, arXiv 2103.10158).

Only operations that make sense whatever the normalisation are among them, and no flips: what is written, or left and
right, would change its meaning. There is nothing to tune: operation and strength are drawn evenly for each picture.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, pad

SHIFTS, TONES = 5, 4
"""How many operations move pixels (along x, along y, shear x, shear y, turn) and how many change their values
(brightness, contrast, colour, sharpness); one more leaves the picture as it is."""
_LONGEST_SHIFT, _STRONGEST_SHEAR, _WIDEST_TURN = 0.3, 0.3, math.radians(30)
_STRONGEST_TONE = 0.8


_WORDS = frozenset(
    "left right up down upper lower top bottom middle center centre centered centred north south east west "
    "turned rotated rotation unrotated tilted tilt upright sideways straight crooked skewed slanted sheared shifted "
    "horizontal vertical diagonal clockwise counterclockwise anticlockwise degrees "
    "bright dark dim pale overexposed underexposed lowcontrast blurred blurry sharp unsharp focus out in of "
    "red green blue yellow purple pink brown black white grey gray colour color coloured colored monochrome".split()
)
"""What the operations change: where things are, how they are turned, how bright, sharp and coloured they are."""


def names_what_varies(class_name: str) -> bool:
    """Whether a class is named after what `vary` changes, and after nothing else: "rotated 90", not "blue jay"."""
    words = re.findall(r"[^\W\d_]+", class_name.lower())
    return bool(words) and all(word in _WORDS for word in words)


def vary(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures of shape (rows, channels, height, width), each varied by one operation. generator: on the CPU."""
    rows = len(pictures)
    operation = torch.randint(0, 1 + SHIFTS + TONES, (rows,), generator=generator).to(pictures.device)
    strength = (torch.rand(rows, generator=generator) * 2 - 1).to(pictures)
    moved = grid_sample(
        pictures,
        affine_grid(_movements(operation, strength), list(pictures.shape), align_corners=False),
        padding_mode="border",
        align_corners=False,
    )
    toned = _tones(pictures, operation - 1 - SHIFTS, 1 + _STRONGEST_TONE * strength[:, None, None, None])
    kind = operation[:, None, None, None]
    return torch.where(kind == 0, pictures, torch.where(kind <= SHIFTS, moved, toned))


def _movements(operation: Tensor, strength: Tensor) -> Tensor:
    """Affine maps, shape (rows, 2, 3), of the operations 1 to SHIFTS; elsewhere the identity."""
    maps = torch.eye(2, 3, device=strength.device, dtype=strength.dtype).repeat(len(strength), 1, 1)
    for number, (row, column, most) in enumerate(
        [(0, 2, _LONGEST_SHIFT), (1, 2, _LONGEST_SHIFT), (0, 1, _STRONGEST_SHEAR), (1, 0, _STRONGEST_SHEAR)], start=1
    ):
        maps[:, row, column] = torch.where(operation == number, most * strength, maps[:, row, column])
    angle = torch.where(operation == SHIFTS, _WIDEST_TURN * strength, torch.zeros_like(strength))
    cosine, sine = angle.cos(), angle.sin()
    turns = torch.stack([torch.stack([cosine, -sine], dim=1), torch.stack([sine, cosine], dim=1)], dim=1)
    maps[:, :, :2] = torch.where((operation == SHIFTS)[:, None, None], turns, maps[:, :, :2])
    return maps


def _tones(pictures: Tensor, which: Tensor, factor: Tensor) -> Tensor:
    """Each picture blended by `factor` with something flatter (above 1: away from it), within its own range."""
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    darkest = pictures.amin(dim=(1, 2, 3), keepdim=True)
    grey = pictures.mean(dim=1, keepdim=True).expand_as(pictures)
    blurred = avg_pool2d(pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    flat = darkest.expand_as(pictures)  # brightness
    for number, other in enumerate((mean.expand_as(pictures), grey, blurred), start=1):
        flat = torch.where((which == number)[:, None, None, None], other, flat)
    blended = flat + factor * (pictures - flat)
    return blended.clamp(min=darkest, max=pictures.amax(dim=(1, 2, 3), keepdim=True))
