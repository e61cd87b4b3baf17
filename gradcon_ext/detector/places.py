"""What codes of tiles vary along, at each place of the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

ARRAYS = ("mean", "basis", "centers", "factors")


@dataclass(frozen=True)
class Places:
    """A normal distribution of codes at each place of a grid of tiles; or one for all of them.

    Codes are first whitened by what all places have in common. That makes its ridge, the same in every direction, a
    shrinkage of each place's covariance towards that of all places, as regularised discriminant analysis has it
    (Friedman 1989).

    Attributes:
        mean: of the codes, (D,).
        basis: whitens a code less the mean, (D, K).
        centers: mean whitened code at each place, (P, K).
        factors: F such that F'F is the inverse of the covariance there, (P, K, K).
    """

    mean: Tensor
    basis: Tensor
    centers: Tensor
    factors: Tensor

    def __post_init__(self) -> None:
        expected = ((self.basis.shape[0],), (self.basis.shape[0], self.kept), (self.count, self.kept))
        given = tuple(tuple(getattr(self, name).shape) for name in ARRAYS)
        if given != (*expected, (self.count, self.kept, self.kept)):
            raise ValueError(f"the places of tiles have tensors of shapes {given}, which do not fit each other")

    @property
    def count(self) -> int:
        """How many places there are, P."""
        return len(self.centers)

    @property
    def kept(self) -> int:
        """How many numbers a whitened code has, K."""
        return self.basis.shape[-1]

    def distance(self, codes: Tensor, places: Tensor) -> Tensor:
        """Return the squared Mahalanobis distance (n,) of codes (n, D) at places, int64 (n,)."""
        centered = whitened(codes, self.mean, self.basis) - self.centers[places]
        if self.count == 1:
            return (centered @ self.factors[0].mT).square().sum(1)
        return (self.factors[places] @ centered[:, :, None]).square().sum((1, 2))

    def to(self, like: Tensor) -> Places:
        """With tensors of the dtype and on the device of another one."""
        return Places(*(getattr(self, name).to(like) for name in ARRAYS))

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors by their names, which begin with `prefix`."""
        return {f"{prefix}.{name}": getattr(self, name) for name in ARRAYS}

    @classmethod
    def read(cls, prefix: str, tensors: Mapping[str, Tensor]) -> Places:
        """Take back what `tensors` returned.

        Raises:
            ValueError: a tensor is missing, not finite, or of a shape that does not fit the others.
        """
        names = [f"{prefix}.{name}" for name in ARRAYS]
        missing = [name for name in names if name not in tensors]
        if missing:
            raise ValueError(f"there is no tensor {missing[0]}")
        dimensions = [tensors[name].dim() for name in names]
        if dimensions != [1, 2, 2, 3]:
            raise ValueError(f"the places of tiles have tensors of {dimensions} dimensions; expected [1, 2, 2, 3]")
        if not all(bool(tensors[name].isfinite().all()) for name in names):
            raise ValueError("the places of tiles hold numbers that are not finite")
        return cls(*(tensors[name] for name in names))


def whitened(codes: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    """Return codes (n, D) less a mean (D,) in a basis (D, K)."""
    return (codes - mean) @ basis
