"""Alignments in float64, also of the few samples whose squares and products float32 does not hold."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcon_ext.alignment.cosine import SMALLEST_NORM
from gradcon_ext.alignment.gradients import Gradients, as_rows

# The bounds of csrc/core/alignment_in_double.hpp: under them, sums in float32 may have lost what the cosine needs.
_SMALLEST_SQUARE = 2.0**-76


def aligned(gradients: Gradients, references: Tensor) -> tuple[Tensor, Tensor]:
    """Return dot products with references (K, *weight), shape (N, K), and squared norms (N,), in float64.

    Samples that are lost in float32, or too large for it, are aligned once more in float64; of the others, the numbers
    are those of float32.
    """
    dots, sq_norms = gradients.align(references)
    if dots.dtype == torch.float64:
        return dots, sq_norms
    dots, sq_norms = dots.double(), sq_norms.double()
    lost = _lost(dots, sq_norms, references).nonzero().flatten()
    if len(lost):
        dots[lost], sq_norms[lost] = gradients.in_float64(lost).align(references.double())
    return dots, sq_norms


def _lost(dots: Tensor, sq_norms: Tensor, references: Tensor) -> Tensor:
    """Which samples have a sum that is too small to be exact, or not finite, (N,)."""
    norms = torch.linalg.vector_norm(as_rows(references), dim=1, dtype=torch.float64)
    products = sq_norms[:, None] * norms.square()
    too_small = (products < _SMALLEST_SQUARE**2) & (norms > SMALLEST_NORM)
    lost: Tensor = ~(sq_norms >= _SMALLEST_SQUARE) | ~sq_norms.isfinite() | (too_small | ~dots.isfinite()).any(1)
    return lost
