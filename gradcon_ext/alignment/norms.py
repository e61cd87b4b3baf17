"""Norms of every sample's gradients, and the sum of gradients that are clipped by them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.fallback import SampleLoss
from gradcon_ext.alignment.passes import passes
from gradcon_ext.alignment.per_sample import MAX_BYTES
from gradcon_ext.alignment.prepared import parameter_of
from gradcon_ext.alignment.references import References
from gradcon_ext.alignment.sample_gradients import SampleGradients


def gradient_norms(
    model: nn.Module,
    loss: SampleLoss,
    inputs: Tensor,
    parameters: Sequence[str] | None = None,
    targets: Tensor | None = None,
    *,
    batch_size: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> dict[str, Tensor]:
    """Norm of every sample's gradient with respect to each parameter, without holding the gradients.

    These are the per-example norms of Goodfellow (2015), Efficient Per-Example Gradient Computations, for any layer.
    That over all parameters is `torch.linalg.vector_norm(torch.stack([*norms.values()]), dim=0)`.

    Args:
        model: as for `per_sample_alignment`.
        loss: likewise.
        inputs: (N, ...).
        parameters: names of the parameters; all that require a gradient by default.
        targets: (N, ...).
        batch_size: as for `per_sample_alignment`.
        max_bytes: as for `per_sample_alignment`.

    Returns:
        The norms (N,) by the names of the parameters, in their dtype, but at least in float32.

    Raises:
        ValueError: as for `per_sample_alignment`, or there are no parameters.

    Warns:
        UserWarning: the loss does not depend on a parameter, whose norms are then 0.
    """
    none = _no_references(model, parameters)
    norms: dict[str, list[Tensor]] = {name: [] for name in none}
    for gradients in passes(model, loss, inputs, list(none), batch_size, targets, max_bytes):
        for name, sq_norms in _sq_norms(gradients, none).items():
            norms[name].append(sq_norms.sqrt().to(none[name].values.dtype))
        del gradients  # before the next pass: they hold the activations of this one
    return {name: torch.cat(parts) for name, parts in norms.items()}


def clipped_gradient_sum(
    model: nn.Module,
    loss: SampleLoss,
    inputs: Tensor,
    bound: float,
    parameters: Sequence[str] | None = None,
    targets: Tensor | None = None,
    *,
    batch_size: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> dict[str, Tensor]:
    """Sum of all samples' gradients, each of which is first scaled down to a norm of at most `bound`.

    It is the sum in algorithm 1 of Abadi et al. (2016), Deep Learning with Differential Privacy, before noise is added:
    of g(n) min(1, bound / |g(n)|), with the norm over all the parameters together. One backward pass serves both norms
    and sum, as in Bu et al. (2023), Differentially Private Optimization on Large Model at Small Cost.

    Args:
        model: as for `per_sample_alignment`.
        loss: likewise.
        inputs: (N, ...).
        bound: of each sample's norm.
        parameters: names of the parameters; all that require a gradient by default.
        targets: (N, ...).
        batch_size: as for `per_sample_alignment`.
        max_bytes: as for `per_sample_alignment`.

    Returns:
        The sums by the names of the parameters, of their shape, in their dtype, but at least in float32.
        They are NaN where a sample's gradient is not finite.

    Raises:
        ValueError: as for `gradient_norms`, or a bound that is not above 0 and finite.

    Warns:
        UserWarning: the loss does not depend on a parameter, whose sum is then 0.
    """
    if not 0 < bound < math.inf:
        raise ValueError(f"bound must be above 0 and finite, got {bound}")
    none = _no_references(model, parameters)
    sums = {name: references.values.new_zeros(references.values.shape[1:]) for name, references in none.items()}
    for gradients in passes(model, loss, inputs, list(none), batch_size, targets, max_bytes):
        norms = torch.stack([*_sq_norms(gradients, none).values()]).sum(0).sqrt()
        factors = (bound / norms).clamp(max=1)
        scales = {name: factors.to(total.dtype) for name, total in sums.items()}
        for name, part in gradients.weighted_sums(scales).items():
            sums[name] += part
        del gradients
    return sums


def _no_references(model: nn.Module, parameters: Sequence[str] | None) -> dict[str, References]:
    """None of each parameter: aligned with these, a gradient leaves its norm alone."""
    if parameters is None:
        parameters = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError(f"no parameter of {type(model).__name__} is named, or there is none that requires a gradient")
    weights = {name: parameter_of(model, name).detach() for name in parameters}
    for name, weight in weights.items():
        if weight.is_complex():
            raise ValueError(f"{name} is complex; expected a real parameter")
    return {
        name: References(weight.new_empty(0, *weight.shape, dtype=torch.promote_types(weight.dtype, torch.float32)))
        for name, weight in weights.items()
    }


def _sq_norms(gradients: SampleGradients, none: dict[str, References]) -> dict[str, Tensor]:
    """Squared norms (N,) in float64, by name."""
    return {name: sq_norms for name, (_, sq_norms) in gradients.align(none).items()}
