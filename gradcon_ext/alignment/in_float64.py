"""Alignments in float64, also of the few samples whose squares and products float32 does not hold."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradcon_ext.alignment.cosine import SMALLEST_NORM
from gradcon_ext.alignment.gradients import Gradients
from gradcon_ext.alignment.references import References

# The bounds of csrc/core/alignment_in_double.hpp: under them, sums in float32 may have lost what the cosine needs.
_SMALLEST_SQUARE = 2.0**-76


def aligned(gradients: Gradients, references: References) -> tuple[Tensor, Tensor]:
    """Return dot products with K references, shape (N, K), and squared norms (N,), in float64.

    Samples that are lost in float32, or too large for it, are aligned once more in float64; of the others, the numbers
    are those of float32.
    """
    dots, sq_norms = gradients.align(references.values)
    if dots.dtype == torch.float64:
        return dots, sq_norms
    dots, sq_norms = dots.double(), sq_norms.double()
    if not _holds(dots, sq_norms, references):
        lost = _lost(dots, sq_norms, references).nonzero().flatten()
        dots[lost], sq_norms[lost] = gradients.in_float64(lost).align(references.values.double())
    return dots, sq_norms


def _holds(dots: Tensor, sq_norms: Tensor, references: References) -> bool:
    """Whether no sample is lost, at a glance at the extremes; False where they do not tell."""
    if sq_norms.numel() == 0:
        return True
    smallest, largest = _extremes(sq_norms)
    if not (smallest >= _SMALLEST_SQUARE and largest < math.inf):
        return False
    if dots.numel() == 0:
        return True
    least, most = _extremes(dots)
    product = smallest * references.smallest * references.smallest
    return -math.inf < least and most < math.inf and product >= _SMALLEST_SQUARE**2


def _extremes(numbers: Tensor) -> tuple[float, float]:
    """The smallest and the largest number, NaN where one is."""
    smallest, largest = numbers.aminmax()
    return float(smallest), float(largest)


def _lost(dots: Tensor, sq_norms: Tensor, references: References) -> Tensor:
    """Which samples have a sum that is too small to be exact, or not finite, (N,)."""
    norms = references.norms
    too_small = (sq_norms[:, None] * norms.square() < _SMALLEST_SQUARE**2) & (norms > SMALLEST_NORM)
    lost: Tensor = ~(sq_norms >= _SMALLEST_SQUARE) | ~sq_norms.isfinite() | (too_small | ~dots.isfinite()).any(1)
    return lost
