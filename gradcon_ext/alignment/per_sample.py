"""Alignment of every sample's gradients with references, for any model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.fallback import SampleLoss
from gradcon_ext.alignment.sample_gradients import LossWithAux, SampleGradients, sample_gradients

MAX_BYTES = 1 << 28
"""Memory for the gradients that the fallback forms at a time, 256 MiB."""


@dataclass(frozen=True)
class Alignment:
    """Alignment of N samples' gradients, by the names of the parameters.

    Attributes:
        loss: the samples' losses, (N,).
        dot: dot product of each gradient with the reference, (N,), or (N, K) for K references.
        sq_norm: squared norm of each gradient, (N,).
        cosine: the alignment, shaped like `dot`; 0 where the gradient or the reference is zero.
        route: which way each parameter's gradients went, and why.
        aux: what else the loss returned; see `align_with_aux`.
    """

    loss: Tensor
    dot: dict[str, Tensor]
    sq_norm: dict[str, Tensor]
    cosine: dict[str, Tensor]
    route: dict[str, str]
    aux: Any = None


def per_sample_alignment(
    model: nn.Module,
    loss: SampleLoss,
    inputs: Tensor,
    references: Mapping[str, Tensor],
    targets: Tensor | None = None,
    *,
    max_bytes: int = MAX_BYTES,
) -> Alignment:
    """Align every sample's gradients with references, without holding a per-sample gradient where that can be avoided.

    One forward and one backward pass; the backward pass ends at the first constrained layer, and no weight gradient
    of the batch is formed. Weights of linear and (transposed) convolution layers of one or two axes go to the fused
    ops; gradients of biases and of normalisation layers' affine parameters are formed, which are small. Every other
    parameter goes to `torch.func.vmap(grad)` by itself, a chunk of samples at a time.

    Args:
        model: any module that treats samples, the first dimension of its input, independently of each other.
        loss: takes the model's output and `targets`, or `inputs` where there are none; returns one value a sample,
            (N,).
        inputs: (N, ...).
        references: by the names of the constrained parameters, of the shape of the parameter, or (K, *shape) for
            several references, whose dot products are taken from one formation of each gradient.
        targets: (N, ...).
        max_bytes: memory for the gradients that the fallback forms at a time.

    Raises:
        ValueError: a module mixes samples or draws random numbers (BatchNorm or Dropout in training mode); a
            reference names no parameter, does not fit it or is not finite; the loss does not return one value a
            sample.

    Several threads may call this at once; their passes run one after the other.

    Warns:
        UserWarning: the loss does not depend on a constrained parameter, whose cosines are then 0.
    """
    return align_with_aux(
        model, lambda output, target: (loss(output, target), None), inputs, references, targets, max_bytes=max_bytes
    )


def align_with_aux(
    model: nn.Module,
    loss: LossWithAux,
    inputs: Tensor,
    references: Mapping[str, Tensor],
    targets: Tensor | None = None,
    *,
    max_bytes: int = MAX_BYTES,
) -> Alignment:
    """Like `per_sample_alignment`, for a loss that returns a pair, the second of which is passed on as `aux`."""
    several = {name: _as_several(model, name, reference) for name, reference in references.items()}
    gradients = sample_gradients(model, loss, inputs, list(references), targets, max_bytes)
    warn_of_unreached(gradients)
    dot, sq_norm, cosine = {}, {}, {}
    for name, (dots, sq_norms) in gradients.align(several).items():
        cosines = _cosine(dots, sq_norms[:, None], several[name].flatten(1))
        single = references[name].dim() < several[name].dim()
        dot[name], cosine[name] = (dots[:, 0], cosines[:, 0]) if single else (dots, cosines)
        sq_norm[name] = sq_norms
    route = {name: taken.reason for name, taken in gradients.routes.items()}
    return Alignment(gradients.losses, dot, sq_norm, cosine, route, gradients.aux)


def _cosine(dots: Tensor, sq_norms: Tensor, references: Tensor) -> Tensor:
    # One norm after the other, in float64: the product of two small norms would vanish in float32.
    reference_norms = torch.linalg.vector_norm(references, dim=1, dtype=torch.float64)
    cosines = dots.double() * inverse_norm(sq_norms.double().sqrt()) * inverse_norm(reference_norms)
    return cosines.clamp(-1, 1).to(dots.dtype)


def inverse_norm(norms: Tensor) -> Tensor:
    """Return 1 / norm, or 0 for a norm of 0."""
    return torch.where(norms > 0, 1 / norms, 0)


def parameter_of(model: nn.Module, name: str) -> Tensor:
    """Return the parameter of that name, or raise ValueError with the names there are."""
    parameters = dict(model.named_parameters())
    if name not in parameters:
        raise ValueError(f"{type(model).__name__} has no parameter {name!r}; it has {list(parameters)}")
    return parameters[name]


def _as_several(model: nn.Module, name: str, reference: Tensor) -> Tensor:
    """A reference as (K, *shape), detached, in the type that the alignment is computed in."""
    parameter = parameter_of(model, name)
    several = reference[None] if reference.dim() == parameter.dim() else reference
    if several.shape[1:] != parameter.shape or several.dim() != parameter.dim() + 1:
        raise ValueError(
            f"the reference of {name} has shape {tuple(reference.shape)}; expected {tuple(parameter.shape)}, or "
            f"(K, {', '.join(map(str, parameter.shape))}) for K references"
        )
    if not several.isfinite().all():
        raise ValueError(f"the reference of {name} holds values that are NaN or infinite")
    return several.detach().to(parameter.device, torch.float64 if parameter.dtype == torch.float64 else torch.float32)


def warn_of_unreached(gradients: SampleGradients) -> None:
    """Warn of parameters that the loss does not depend on."""
    unreached = [name for name, route in gradients.routes.items() if not route.reached]
    if unreached:
        warnings.warn(f"the loss does not depend on {', '.join(unreached)}: their cosines are 0", stacklevel=4)
