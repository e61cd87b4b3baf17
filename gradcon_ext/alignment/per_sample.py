"""Alignment of every sample's gradients with references, for any model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import index
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.cosine import cosine_of
from gradcon_ext.alignment.fallback import SampleLoss
from gradcon_ext.alignment.pass_size import samples_of_pass
from gradcon_ext.alignment.plain import LossWithAux
from gradcon_ext.alignment.prepared import prepare
from gradcon_ext.alignment.references import References, check_holds
from gradcon_ext.alignment.sample_gradients import SampleGradients, sample_gradients

MAX_BYTES = 1 << 28
"""Memory for the gradients that the fallback forms at a time, 256 MiB."""


@dataclass(frozen=True)
class Alignment:
    """Alignment of N samples' gradients, by the names of the parameters.

    Attributes:
        loss: the samples' losses, (N,).
        dot: dot product of each gradient with the reference, (N,), or (N, K) for K references.
        sq_norm: squared norm of each gradient, (N,); 0 or infinite where its dtype does not hold it, unlike `cosine`.
        cosine: the alignment, shaped like `dot`; 0 where the gradient or the reference is zero.
        route: which way each parameter's gradients went, and why.
        aux: what else the loss returned in each pass; see `align_with_aux`.
    """

    loss: Tensor
    dot: dict[str, Tensor]
    sq_norm: dict[str, Tensor]
    cosine: dict[str, Tensor]
    route: dict[str, str]
    aux: list[Any]


def per_sample_alignment(
    model: nn.Module,
    loss: SampleLoss,
    inputs: Tensor,
    references: Mapping[str, Tensor],
    targets: Tensor | None = None,
    *,
    batch_size: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> Alignment:
    """Align every sample's gradients with references, without holding a per-sample gradient where that can be avoided.

    One forward and one backward pass a batch; the backward pass ends at the first constrained layer, and no weight
    gradient of the batch is formed. Weights of linear and (transposed) convolution layers of one or two axes go to the
    fused ops; gradients of biases and of normalisation layers' affine parameters are formed, which are small. Every
    other parameter goes to `torch.func.vmap(grad)` by itself, a chunk of samples at a time.

    Args:
        model: any module that treats samples, the first dimension of its input, independently of each other.
        loss: takes the model's output and `targets`, or `inputs` where there are none; returns one value a sample,
            (N,).
        inputs: (N, ...).
        references: by the names of the constrained parameters, of the shape of the parameter, or (K, *shape) for
            several references, whose dot products are taken from one formation of each gradient.
        targets: (N, ...).
        batch_size: samples in a pass at a time, which bounds the memory of activations. By default as many as compute
            256 MiB in their forward pass (4 GiB on a GPU), but at least one, and at most 256 on a CPU, whose caches and
            freed memory serve passes of that size best. Where a model cannot compute a single sample, those 256, and
            on a GPU all.
        max_bytes: memory for the gradients that the fallback forms at a time.

    Raises:
        ValueError: samples influence each other or random numbers are drawn (as by BatchNorm or Dropout in training
            mode, or `batch_norm` or `dropout` in a forward that does not look at `self.training`); a
            reference names no parameter, does not fit it or is not finite; the loss does not return one value a
            sample; inputs and targets are not equally many, or the batch size is below 1.

    The model is not changed, not for a moment either: private copies of it run, which share its parameters. So several
    threads may call this at once.

    A parameter takes a route of its own only where that is proven; `route` says why not. The first batch of each
    structure (modules, settings, hooks, shapes of model and batch) is verified: two of its samples are run alone, and
    differentiated by plain autograd, which must agree with the batch, and so must the losses of every other sample
    without those between; that costs about as much as ten single samples and a forward pass, once. It is repeated while
    it says nothing, as for samples that are all alike or gradients that are all zero or not finite, and at each call
    where it may say something else the next time: where something is reduced over all samples, Python code reads
    numbers, or a hook reads from a list or dictionary that it also fills. One that it only fills is no part of the
    structure. A sample that is NaN or infinite, or whose loss overflows, has cosines that are NaN, or what plain
    autograd gives, and leaves the others as they are.

    Warns:
        UserWarning: the loss does not depend on a constrained parameter, whose cosines are then 0.
    """
    return align_with_aux(
        model,
        lambda output, target: (loss(output, target), None),
        inputs,
        references,
        targets,
        batch_size=batch_size,
        max_bytes=max_bytes,
    )


def align_with_aux(
    model: nn.Module,
    loss: LossWithAux,
    inputs: Tensor,
    references: Mapping[str, Tensor],
    targets: Tensor | None = None,
    *,
    batch_size: int | None = None,
    max_bytes: int = MAX_BYTES,
    in_eval_mode: bool = False,
) -> Alignment:
    """Like `per_sample_alignment`, for a loss that returns a pair, the second of which is passed on in `aux`.

    With `in_eval_mode` the model is treated as if it were in eval mode, and stays in the mode it is in.
    """
    prepared = prepare(model, list(references), in_eval_mode)
    several = {name: _as_several(name, weight, references[name]) for name, weight in prepared.weights.items()}
    if batch_size is None:
        batch_size = samples_of_pass(prepared, loss, inputs, targets)
    losses: list[Tensor] = []
    aux, alignments = [], []
    reasons: dict[str, str] = {}
    for batch, batch_targets in split_together(inputs, targets, batch_size):
        gradients = sample_gradients(prepared, loss, batch, batch_targets, max_bytes)
        if not losses:
            warn_of_unreached(gradients, stacklevel=4)
        losses.append(gradients.losses)
        aux.append(gradients.aux)
        alignments.append(gradients.align(several))
        reasons = {name: route.reason for name, route in gradients.routes.items()}
        del gradients  # before the next pass: they hold the activations of this one
    dot, sq_norm, cosine = {}, {}, {}
    for name, reference in references.items():
        dots, sq_norms = (torch.cat(parts) for parts in zip(*(each[name] for each in alignments), strict=True))
        dtype = several[name].values.dtype
        cosines = cosine_of(dots, sq_norms[:, None].sqrt(), several[name].norms).to(dtype)
        dots = dots.to(dtype)
        single = reference.dim() < several[name].values.dim()
        dot[name], cosine[name] = (dots[:, 0], cosines[:, 0]) if single else (dots, cosines)
        sq_norm[name] = sq_norms.to(dtype)
    return Alignment(torch.cat(losses), dot, sq_norm, cosine, reasons, aux)


def split_together(inputs: Tensor, targets: Tensor | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Cut inputs, and targets where there are any, into batches; of no samples, one empty batch.

    Raises:
        ValueError: inputs and targets are not equally many, or the batch size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if targets is not None and len(targets) != len(inputs):
        raise ValueError(f"there are {len(inputs)} inputs, but {len(targets)} targets")
    batches = torch.split(inputs, index(batch_size))
    of_targets = [None] * len(batches) if targets is None else torch.split(targets, index(batch_size))
    return zip(batches, of_targets, strict=True)


def _as_several(name: str, weight: Tensor, reference: Tensor) -> References:
    """A reference as one of several, or several; raise ValueError unless they fit the weight and hold finite values."""
    values = reference[None] if reference.dim() == weight.dim() else reference
    if values.shape[1:] != weight.shape or values.dim() != weight.dim() + 1:
        raise ValueError(
            f"the reference of {name} has shape {tuple(reference.shape)}; expected {tuple(weight.shape)}, or "
            f"(K, {', '.join(map(str, weight.shape))}) for K references"
        )
    if weight.is_complex():
        raise ValueError(f"{name} is complex; expected a real parameter")
    computed = torch.float64 if weight.dtype == torch.float64 else torch.float32
    references = References(values.detach().to(weight.device, computed))
    if not references.are_finite():
        raise ValueError(f"the reference of {name} holds values that are NaN or infinite in {computed}")
    check_holds(name, values, references.values)
    return references


def warn_of_unreached(gradients: SampleGradients, stacklevel: int) -> None:
    """Warn of parameters that the loss does not depend on, at the line of whoever called the caller's caller."""
    unreached = [name for name, route in gradients.routes.items() if not route.reached]
    if unreached:
        warnings.warn(
            f"the loss does not depend on {', '.join(unreached)}: their gradients are 0", stacklevel=stacklevel
        )
