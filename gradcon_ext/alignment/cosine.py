"""The one rule of the cosine of a gradient and its reference. Its twin is csrc/core/cosine.hpp.

The cosine is the dot product over one norm after the other (the product of two small norms would vanish), in [-1, 1].

- It is 0 where either norm is zero. Norms are summed in float64, where every float32 number but 0 has a square; those
  up to `SMALLEST_NORM` count as zero, for the squares of float64 numbers that small vanish.
- It is never NaN where both norms are finite, and always NaN where one is not: no score is made up.
- There is no epsilon. It would hide the direction of small gradients, and gradients get small.

Where a cosine is differentiated, as in training, vectors up to `smallest_differentiable_norm` count as zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALLEST_NORM = 2.0**-485
"""Norm up to which a vector counts as zero, 1e-146: the square root of the smallest float64 number over its epsilon."""


def smallest_differentiable_norm(dtype: torch.dtype) -> float:
    """Norm of a vector below which its inverse leaves no room for the sums of a differentiation: 1e-31 for float32."""
    limits = torch.finfo(dtype)
    return max(limits.tiny / limits.eps, SMALLEST_NORM)


def inverse_norm(norms: Tensor, smallest: float = SMALLEST_NORM) -> Tensor:
    """Return 1 / norm: 0 where a vector counts as zero, and NaN where the norm is not finite."""
    return norms.reciprocal().masked_fill(norms <= smallest, 0).masked_fill(norms == math.inf, math.nan)


def cosine_of(dots: Tensor, norms: Tensor, reference_norms: Tensor) -> Tensor:
    """Return cosines in float64 from dot products and norms, of shapes that broadcast."""
    inverses = inverse_norm(norms.double()), inverse_norm(reference_norms.double())
    return (dots.double() * inverses[0] * inverses[1]).clamp(-1, 1)


def cosine_of_vectors(vector: Tensor, reference: Tensor) -> Tensor:
    """Return the cosine of two tensors of one shape and dtype, shape (), in float64."""
    vector, reference = vector.flatten().double(), reference.flatten().double()
    norms = (torch.linalg.vector_norm(values) for values in (vector, reference))
    return cosine_of(vector @ reference, *norms)
