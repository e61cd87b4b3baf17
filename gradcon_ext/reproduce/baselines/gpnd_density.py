"""How likely an image is near the manifold that a decoder spans (Pidhorskyi et al., 2018, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array: TypeAlias = npt.NDArray[np.float64]

BINS = 30

_DERIVED_AT_ONCE = 40  # few enough for the caches, with as many tangents as a code has components
_LEAST = np.finfo(float).tiny


@dataclass(frozen=True)
class Histogram:
    """The density of norms.

    Attributes:
        densities: one a bin.
        edges: of the bins, ascending; one more than there are bins.
    """

    densities: Array
    edges: Array

    @classmethod
    def of(cls, norms: Array) -> Histogram:
        """Count norms (N,) in `BINS` bins from the least to the largest."""
        return cls(*np.histogram(norms, BINS, density=True))

    def log_density(self, norms: Array) -> Array:
        """Look up the logarithm of the density of norms (M,).

        Below the bins the density falls linearly to 0 at a norm of 0, as in the authors' published code; above them,
        and in those that are empty, it is 0.
        """
        bins = np.searchsorted(self.edges, norms, side="right") - 1
        bins[norms == self.edges[-1]] = len(self.densities) - 1
        inside = (bins >= 0) & (bins < len(self.densities))
        below = self.densities[0] * norms / self.edges[0] if self.edges[0] > 0 else np.zeros_like(norms)
        density = np.where(inside, self.densities[bins.clip(0, len(self.densities) - 1)], np.where(bins < 0, below, 0))
        return _log(density)


@dataclass(frozen=True)
class InlierDensity:
    """The density of images, of what an autoencoder makes of those that it has learned from.

    Attributes:
        shapes: of the generalised normal distribution of each component of a code, (D,).
        locations: of the same, (D,).
        scales: of the same, (D,).
        norms: the density of the residual's norm.
    """

    shapes: Array
    locations: Array
    scales: Array
    norms: Histogram

    @classmethod
    def fit(cls, codes: Array, norms: Array) -> InlierDensity:
        """Fit the densities to codes (N, D), each component on its own by maximum likelihood, and norms (N,)."""
        from scipy.stats import gennorm

        with np.errstate(over="ignore"):  # far out the density is 0
            fitted = [gennorm.fit(each, 2.0, loc=each.mean(), scale=np.sqrt(2) * each.std()) for each in codes.T]
        shapes, locations, scales = np.array(fitted).T
        return cls(shapes, locations, scales, Histogram.of(norms))

    def log_likelihood(self, codes: Array, norms: Array, singular_values: Array, pixels: int) -> Array:
        """Return the logarithm of the density of images, in nats (section 3 of the paper).

        Along the manifold it is the density of the codes over the volume that the decoder makes of a unit of theirs;
        across, that of the residual's norm, spread evenly over the sphere of residuals with that norm. The least
        positive number takes the place of any factor that is 0, much as in the authors' published code.

        Args:
            codes: of the images, (M, D).
            norms: of the residuals that are left by reconstruction, (M,).
            singular_values: of the decoder's Jacobian at each code, (M, D).
            pixels: numbers in an image.
        """
        from scipy.stats import gennorm

        with np.errstate(over="ignore"):  # far out the density is 0
            of_components = gennorm.pdf(codes, self.shapes, self.locations, self.scales)
        along = (_log(of_components) - _log(singular_values)).sum(1)
        across = self.norms.log_density(norms) - log_sphere(norms, pixels - codes.shape[1])
        likelihood: Array = along + across
        return likelihood


def log_sphere(radii: Array, dimensions: int) -> Array:
    """Return the logarithm of the area of spheres with radii (M,) in a space of so many dimensions."""
    from scipy.special import gammaln

    unit = np.log(2) + dimensions / 2 * np.log(np.pi) - gammaln(dimensions / 2)
    area: Array = unit + (dimensions - 1) * _log(radii)
    return area


def _log(numbers: Array) -> Array:
    """Return logarithms, of 0 that of the least positive number."""
    logarithms: Array = np.log(np.maximum(numbers, _LEAST))
    return logarithms


def singular_values(decoder: Callable[[Tensor], Tensor], codes: Tensor) -> Tensor:
    """Return those of the Jacobian of a decoder at codes (N, D), (N, D) in descending order.

    Args:
        decoder: from codes (N, D) to images (N, C, H, W) of at least D numbers, each on its own.
        codes: where to differentiate.
    """
    return torch.cat([torch.linalg.svdvals(_jacobians(decoder, some)) for some in torch.split(codes, _DERIVED_AT_ONCE)])


def _jacobians(decoder: Callable[[Tensor], Tensor], codes: Tensor) -> Tensor:
    """Return the Jacobian at each code (N, D), (N, pixels, D).

    A code has far fewer numbers than an image, so what is batched is the product with directions in the space of codes:
    the derivative of the product with directions in that of images, which is linear in these.
    """
    codes = codes.detach().requires_grad_()
    images = decoder(codes)
    weights = torch.zeros_like(images, requires_grad=True)
    (slopes,) = torch.autograd.grad(images, codes, weights, create_graph=True)
    directions = torch.eye(codes.shape[1], dtype=codes.dtype)[:, None].expand(-1, len(codes), -1)
    (products,) = torch.autograd.grad(slopes, weights, directions, is_grads_batched=True)
    return products.flatten(2).permute(1, 2, 0)
