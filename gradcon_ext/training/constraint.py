"""The gradient constraint: training gradients kept aligned with their running mean (Eq. 2-4 of the paper)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from gradcon_ext.alignment.cosine import cosine_of_vectors, inverse_norm, smallest_differentiable_norm
from gradcon_ext.ops import running_mean_cosine_

Average = Literal["objective", "primal"]
"""Which gradients the references average: those of the objective J, or those of the primal loss L."""


class GradientConstraint:
    """Adds -alpha * (mean cosine of the layers' gradients to their references) to a loss.

    The references are the running means of the gradients of all iterations so far. In the first iteration there
    are none, and the constraint is left out.

    Args:
        weights: the constrained weights by name; leaves of the autograd graph.
        alpha: weight of the constraint in the objective J = L - alpha * mean cosine; 0 measures without constraining.
        average: what the references average. "objective": dJ/dW, as in the published results; "primal": dL/dW, as
            the text of the paper says.

    Attributes:
        weights: the constrained weights by name.
        references: the running mean gradient of each weight; zeros before the first iteration.
        count: how many gradients each reference averages.

    Raises:
        ValueError: no weights, a weight that is not a floating-point leaf that requires a gradient, a negative or
            non-finite alpha, or an unknown average.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        alpha: float = 0.03,
        average: Average = "objective",
        capturable: bool = False,
    ) -> None:
        if not weights:
            raise ValueError("expected one or more weights to constrain, got none")
        for name, weight in weights.items():
            if not (weight.is_leaf and weight.requires_grad and weight.is_floating_point()):
                raise ValueError(f"weight {name!r} must be a floating-point leaf tensor that requires a gradient")
        if not (math.isfinite(alpha) and alpha >= 0):
            raise ValueError(f"alpha must be finite and not negative, got {alpha}")
        if average not in get_args(Average):
            raise ValueError(f"average must be one of {get_args(Average)}, got {average!r}")
        self.alpha = alpha
        self.average = average
        self.count = 0
        self.references = {
            name: torch.zeros_like(weight, requires_grad=False, memory_format=torch.contiguous_format)
            for name, weight in weights.items()
        }
        self.weights = dict(weights)
        # In float64, which counts exactly and whose inverse is as exact as the op's.
        device = next(iter(weights.values())).device
        self._device_count = torch.zeros((), dtype=torch.float64, device=device) if capturable else None

    def cosines(self, gradients: Sequence[Tensor]) -> Tensor:
        """Return the cosine of each layer's gradient to its reference, (L,); not differentiable.

        A zero gradient or a zero reference has cosine 0.

        Args:
            gradients: one for each weight, in the order of the weights.
        """
        return torch.stack([alignment.cosine for alignment in self._alignments(gradients)])

    def backward(self, loss: Tensor) -> Tensor:
        """Leave the gradient of the objective in `.grad`, update the references, and return the cosines (L,).

        As `loss.backward()` does, it adds to the `.grad` of every parameter that the loss depends on. The
        `.grad` of the constrained weights must be None or zero before (`optimizer.zero_grad()`), since the
        references take dJ/dW from there.

        dJ/dW = dL/dW - alpha/L * d(sum of cosines)/dW takes one differentiation for the gradients g of all layers,
        and one more for L and sum <g, v> together, where v, the derivative of the cosine by g, is held constant.

        Args:
            loss: the primal loss L of a batch, a 0-dim tensor with a graph.

        Raises:
            ValueError: the loss does not depend on one of the constrained weights.
        """
        if not self.active_alpha:
            loss.backward()  # type: ignore[no-untyped-call]
            return self.measure()

        weights = list(self.weights.values())
        gradients = torch.autograd.grad(loss, weights, create_graph=True)
        alignments = self._alignments(gradients)
        # A gradient that no parameter changes, as that of a linear loss, has nothing to differentiate.
        terms = [
            (gradient, alignment.derivative * (-self.alpha / len(weights)))
            for gradient, alignment in zip(gradients, alignments, strict=True)
            if gradient.requires_grad
        ]
        torch.autograd.backward(
            [loss, *(gradient for gradient, _ in terms)], [None, *(derivative for _, derivative in terms)]
        )
        self.take([gradient.detach() for gradient in gradients])
        return torch.stack([alignment.cosine for alignment in alignments])

    @property
    def active_alpha(self) -> float:
        """Weight of the constraint in the next iteration: 0 in the first, when there are no references yet."""
        return self.alpha if self.count > 0 else 0.0

    def take(self, primal: Sequence[Tensor]) -> None:
        """Take one more gradient into each reference, once those of the objective are in `.grad`.

        Args:
            primal: gradients of the primal loss, one for each weight, in the order of the weights.

        Raises:
            ValueError: a constrained weight has no gradient.
        """
        gradients = self._gradients_of_objective() if self.average == "objective" else primal
        if self._device_count is None:
            self._measure_and_update(gradients)
        else:
            self._update(gradients, self._device_count)

    def measure(self) -> Tensor:
        """Take the gradients in `.grad` of an iteration without a constraint, and return their cosines (L,).

        Raises:
            ValueError: a constrained weight has no gradient.
        """
        gradients = self._gradients_of_objective()
        if self._device_count is None:
            return self._measure_and_update(gradients)
        pairs = list(zip(gradients, self.references.values(), strict=True))
        cosines = [cosine_of_vectors(gradient, reference).to(reference.dtype) for gradient, reference in pairs]
        self._update(gradients, self._device_count)
        return torch.stack(cosines)

    def state_dict(self) -> dict[str, Any]:
        """Return the references, not copied, and their count."""
        return {"references": dict(self.references), "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy the references and their count from a `state_dict`.

        Raises:
            ValueError: the references are not of the same names and shapes as the weights, or the count is negative.
        """
        given = {name: tuple(reference.shape) for name, reference in state["references"].items()}
        expected = {name: tuple(reference.shape) for name, reference in self.references.items()}
        if given != expected:
            raise ValueError(f"expected references of shapes {expected}, got {given}")
        if state["count"] < 0:
            raise ValueError(f"the count must not be negative, got {state['count']}")
        for name, reference in self.references.items():
            reference.copy_(state["references"][name])
        self.count = int(state["count"])
        if self._device_count is not None:
            self._device_count.fill_(self.count)

    def _alignments(self, gradients: Sequence[Tensor]) -> list[_Alignment]:
        with torch.no_grad():
            return [
                _alignment(gradient, reference)
                for gradient, reference in zip(gradients, self.references.values(), strict=True)
            ]

    def _gradients_of_objective(self) -> list[Tensor]:
        gradients = []
        for name, weight in self.weights.items():
            if weight.grad is None:
                raise ValueError(f"the loss does not depend on the constrained weight {name!r}")
            gradients.append(weight.grad)
        return gradients

    def _measure_and_update(self, gradients: Sequence[Tensor]) -> Tensor:
        """Take one more gradient into each mean; return the cosine of each to the mean before."""
        cosines = [
            running_mean_cosine_(reference, gradient, self.count)
            for reference, gradient in zip(self.references.values(), gradients, strict=True)
        ]
        self.count += 1
        return torch.stack(cosines)

    def _update(self, gradients: Sequence[Tensor], device_count: Tensor) -> None:
        """Take one more gradient into each mean, by the count on the device alone."""
        device_count += 1
        share = device_count.reciprocal()
        for reference, gradient in zip(self.references.values(), gradients, strict=True):
            reference.lerp_(gradient.detach(), share.to(reference.dtype))
        self.count += 1


class _Alignment(NamedTuple):
    cosine: Tensor
    derivative: Tensor
    """Of the cosine by the gradient."""


def _alignment(gradient: Tensor, reference: Tensor) -> _Alignment:
    unit_gradient, inverse = _unit(gradient)
    unit_reference, _ = _unit(reference)
    cosine = (unit_gradient * unit_reference).sum().clamp(-1, 1)
    return _Alignment(cosine, (unit_reference - cosine * unit_gradient) * inverse)


def _unit(vector: Tensor) -> tuple[Tensor, Tensor]:
    """Return the vector over its norm, and the inverse of the norm; zeros for a vector that counts as zero.

    The norm is summed in float64, where the squares of small float32 numbers do not vanish.
    """
    norm = torch.linalg.vector_norm(vector, dtype=torch.float64)
    inverse = inverse_norm(norm, smallest_differentiable_norm(vector.dtype))
    return vector * inverse, inverse
