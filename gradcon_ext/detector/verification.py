"""Whether the fused program of a chain computes what the model does, found out by computing it once by autograd.

A trace sees what a forward does with shapes. What it does with numbers, flags or the device at hand shows only when it
runs. It runs on a private copy, so no other thread sees the model changed, whatever its forward does.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.cosine import cosine_of
from gradcon_ext.alignment.watch import same_numbers
from gradcon_ext.chain.chain import Chain, NotAChain
from gradcon_ext.chain.surroundings import differentiable
from gradcon_ext.chain.tracing import parameters_of, trace_chain
from gradcon_ext.losses import Loss, loss_of
from gradcon_ext.ops import score_autoencoder

TOLERANCE = 1e-4
"""Of a cosine, and of losses relative to their size; orders of summation differ by less."""
_LARGE = 1 << 20
"""Numbers of an image from which on each is differentiated alone: the activations of two take more memory than scoring
does."""
_NOISE = 30.0
"""How many times further than float32 autograd the program may be from float64, where a result is ill-conditioned."""


class NotComparedError(Exception):
    """Why automatic differentiation has nothing to compare with, this time."""


class SampleResults(NamedTuple):
    """Of N samples: reconstruction and latent losses (N,), and cosines (N, L)."""

    reconstruction: Tensor
    latent: Tensor
    cosine: Tensor


def check_samples(
    model: nn.Module, loss: Loss, references: Mapping[str, Tensor], images: Tensor, computed: SampleResults
) -> str | None:
    """Return what disagrees between what was computed of some images and what autograd makes of each, or None.

    Args:
        model: run in eval mode, on a copy.
        loss: of single samples.
        references: by the names of the constrained weights.
        images: (N, C, H, W), of the dtype of the weights; N backward passes are run.
        computed: of the same images.

    Raises:
        NotComparedError: it fails, for a reason of the model or of what else is going on, such as a lack of memory; or
            it is finite of no image.
    """
    with differentiable(images.device):
        return _disagreement(model, loss, references, images, computed)


def _disagreement(
    model: nn.Module, loss: Loss, references: Mapping[str, Tensor], images: Tensor, computed: SampleResults
) -> str | None:
    try:
        twin = copy.deepcopy(model).eval()
        before = [tensor.clone() for tensor in _numbers(twin)]
        expected = _by_autograd(twin, loss, references, images)
    except Exception as error:  # Whatever a forward raises on real numbers.
        raise NotComparedError(f"automatic differentiation of it fails: {type(error).__name__}: {error}") from error
    if not all(map(same_numbers, before, _numbers(twin))):
        return "its forward changes the model"
    if not _all_finite(expected).any():
        raise NotComparedError("automatic differentiation of it gives no finite numbers of these images")
    if not _differing(computed, expected, TOLERANCE):
        return None
    exact = _exact(model, loss, references, images)
    if exact is not None and not _differing(computed, exact, TOLERANCE, _NOISE, expected):
        return None
    names = ", ".join(_differing(computed, expected, TOLERANCE))
    return f"{names} of the fused engine and of automatic differentiation differ"


def proven_chain(model: nn.Module, references: Mapping[str, Tensor], image_shape: tuple[int, ...]) -> Chain | None:
    """Return the chain of layers that a model is, proven on two images of noise on the CPU; None where it is none.

    Args:
        model: of any kind, with a loss of its own or the squared error.
        references: by the names of the constrained weights.
        image_shape: (C, H, W).
    """
    loss = loss_of(model)
    try:
        chain = trace_chain(model, list(references), loss, image_shape)
        if trace_chain(model, list(references), loss, image_shape, samples=1) != chain:
            return None
    except NotAChain:
        return None
    with torch.inference_mode(False):
        model = copy.deepcopy(model).cpu()
        parameters = parameters_of(chain, model)
        images = torch.rand(2, *image_shape, generator=torch.Generator().manual_seed(0)).to(parameters[0])
        own = {name: reference.to(parameters[0]) for name, reference in references.items()}
        computed = SampleResults(*score_autoencoder(images, parameters, list(own.values()), chain.encoded))
        try:
            reason = check_samples(model, loss, own, images, computed)
        except NotComparedError:
            return None
    return chain if reason is None else None


def _by_autograd(model: nn.Module, loss: Loss, references: Mapping[str, Tensor], images: Tensor) -> SampleResults:
    """All of them in one batch, unless they are large."""
    batches = torch.split(images, 1 if images[0].numel() >= _LARGE else len(images))
    parts = [_batch_by_autograd(model, loss, references, batch) for batch in batches]
    return SampleResults(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _batch_by_autograd(model: nn.Module, loss: Loss, references: Mapping[str, Tensor], images: Tensor) -> SampleResults:
    model.requires_grad_(False)  # so that nothing is kept for the layers below them
    parameters = dict(model.named_parameters())
    weights = [parameters[name].requires_grad_() for name in references]
    inputs = images.clone()
    losses = loss(model(inputs), inputs)
    total = losses.total
    if total.shape != images.shape[:1]:
        raise ValueError(f"its loss has shape {tuple(total.shape)}; expected ({len(images)},)")
    rows = [
        torch.autograd.grad(sample, weights, retain_graph=left > 0, materialize_grads=True)
        for left, sample in zip(reversed(range(len(total))), total, strict=True)
    ]
    cosine = torch.stack([torch.stack(list(map(_cosine, row, references.values()))) for row in rows])
    return SampleResults(losses.reconstruction.detach(), losses.latent.detach(), cosine)


def _exact(model: nn.Module, loss: Loss, references: Mapping[str, Tensor], images: Tensor) -> SampleResults | None:
    """The same in float64, or None for a model that cannot be computed in it."""
    try:
        return _by_autograd(copy.deepcopy(model).eval().double(), loss, references, images.double())
    except Exception:
        return None


def _cosine(gradient: Tensor, reference: Tensor) -> Tensor:
    left, right = gradient.double().flatten(), reference.to(gradient.device).double().flatten()
    return cosine_of(left @ right, left.norm(), right.norm())


def _differing(
    computed: SampleResults,
    expected: SampleResults,
    tolerance: float,
    noise: float = 0.0,
    noisy: SampleResults | None = None,
) -> list[str]:
    """Names of the columns that are further apart than the tolerance, and than some noise, unless neither is finite."""
    finite = expected.reconstruction[expected.reconstruction.isfinite()].double()
    largest = finite.abs().max() if len(finite) else 0.0
    names = []
    for name, left, right, other in zip(SampleResults._fields, computed, expected, noisy or expected, strict=True):
        left, right, other = left.double(), right.double(), other.double()
        scale = 1.0 if name == "cosine" else right.abs() + largest * 1e-3
        allowed = tolerance * scale + noise * (other - right).abs().nan_to_num(0, 0)
        close = right.isfinite() & ((left - right).abs() <= allowed)
        if not bool((close | ~left.isfinite() & ~right.isfinite()).all()):
            names.append(name)
    return names


def _all_finite(results: SampleResults) -> Tensor:
    """Whether all results of each sample are, (N,)."""
    reconstruction, latent, cosine = results
    return reconstruction.isfinite() & latent.isfinite() & cosine.isfinite().all(1)


def _numbers(model: nn.Module) -> Sequence[Tensor]:
    return [*model.parameters(), *model.buffers()]
