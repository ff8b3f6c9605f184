"""Pictures varied at random: mirrored, cropped, and changed by one operation each.

The operations are TrivialAugment's (Müller and Hutter 2021, arXiv 2103.10158): only those that make sense whatever
the normalisation is, and nothing to tune: operation and strength are drawn evenly for each picture. None mirrors or
cuts: what is written, or left and right, would change its meaning. A recipe says apart whether that is done.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, pad

SHIFTS, TONES = 5, 4
"""How many operations move pixels (along x, along y, shear x, shear y, turn) and how many change their values
(brightness, contrast, colour, sharpness); one more leaves the picture as it is."""
DRAWS = 7
"""Numbers between 0 and 1 that decide all of a picture: its operation, how strong; its mirroring; its crop's area,
shape, and place in both directions."""
_LONGEST_SHIFT, _STRONGEST_SHEAR, _WIDEST_TURN = 0.3, 0.3, math.radians(30)
_STRONGEST_TONE = 0.8
_WIDEST_CROP = 4 / 3


def vary(pictures: Tensor, draws: Tensor) -> Tensor:
    """Pictures of shape (rows, channels, height, width), each varied by one operation. draws: shape (rows, DRAWS)."""
    draws = draws.to(pictures)
    operation = (draws[:, 0] * (1 + SHIFTS + TONES)).long()
    strength = draws[:, 1] * 2 - 1
    moved = _sampled(pictures, _movements(operation, strength))
    toned = _tones(pictures, operation - 1 - SHIFTS, 1 + _STRONGEST_TONE * strength[:, None, None, None])
    kind = operation[:, None, None, None]
    return torch.where(kind == 0, pictures, torch.where(kind <= SHIFTS, moved, toned))


def mirrored(pictures: Tensor, draws: Tensor, share: float) -> Tensor:
    """Pictures, that share of them with left and right changed over. draws: shape (rows, DRAWS)."""
    return torch.where(draws.to(pictures)[:, 2, None, None, None] < share, pictures.flip(3), pictures)


def cropped(pictures: Tensor, draws: Tensor, smallest: float) -> Tensor:
    """Of each picture a part, scaled to the picture's size. draws: shape (rows, DRAWS).

    smallest: the least share of the picture's area that the part has. It is wider or higher than the picture by a
    third at most, in proportion.
    """
    area, shape, across, down = draws.to(pictures)[:, 3:].unbind(dim=1)
    size, ratio = smallest + (1 - smallest) * area, (math.log(_WIDEST_CROP) * (2 * shape - 1)).exp()
    ratio = torch.minimum(torch.maximum(ratio, size), 1 / size)  # neither side is longer than the picture's
    width, height = (size * ratio).sqrt(), (size / ratio).sqrt()
    maps = torch.zeros(len(pictures), 2, 3, device=pictures.device, dtype=pictures.dtype)
    maps[:, 0, 0], maps[:, 1, 1] = width, height
    maps[:, 0, 2] = (1 - width) * (2 * across - 1)
    maps[:, 1, 2] = (1 - height) * (2 * down - 1)
    return _sampled(pictures, maps)


def _sampled(pictures: Tensor, maps: Tensor) -> Tensor:
    grid = affine_grid(maps, list(pictures.shape), align_corners=False)
    return grid_sample(pictures, grid, padding_mode="border", align_corners=False)


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
