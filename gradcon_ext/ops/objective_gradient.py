"""The gradient of the training objective of an autoencoder that is a chain of layers, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gradcon_ext.chain.chain import EncodedChain
from gradcon_ext.ops._catalogue import call
from gradcon_ext.ops._chain_checks import check_chain_arguments, detached
from gradcon_ext.ops._not_differentiable import not_differentiable, refuse_derivatives


class ObjectiveGradient(NamedTuple):
    """Of a batch of N images.

    Attributes:
        reconstruction: reconstruction loss of each, (N,).
        latent: latent loss of each, (N,).
        cosine: of the batch's gradients of the primal loss to the references, (L,); zeros where alpha is 0.
        gradients: of the objective, one for each parameter.
        primal: of the primal loss, one for each reference; zeros where alpha is 0, and both gradients are the same.
    """

    reconstruction: Tensor
    latent: Tensor
    cosine: Tensor
    gradients: list[Tensor]
    primal: list[Tensor]


def objective_gradient(
    images: Tensor,
    parameters: Sequence[Tensor],
    references: Sequence[Tensor],
    chain: EncodedChain,
    noise: Tensor | None,
    alpha: float,
) -> ObjectiveGradient:
    """Differentiate J = mean loss - alpha * mean cosine (Eq. 4 of the paper) by every parameter. On the CPU only.

    dJ/dW = dL/dW + H u, where u is the derivative of the constraint by the gradients and H u that of dL/dW along u: the
    second derivative takes one tangent pass (Pearlmutter, 1994) and no graph of a graph.

    Args:
        images: (N, C, H, W) with N of at least 1, uint8 (0 to 255) or of the dtype of the parameters (0 to 1); also
            what is to be reconstructed.
        parameters: weights and biases of the layers; float32 or float64, of any strides.
        references: of the constrained weights, each of the shape of its weight.
        chain: the layers and the loss, `gradcon_ext.chain.Chain.encoded`.
        noise: standard normal numbers (N, Z) of a bottleneck with a code of Z numbers; None without a bottleneck.
        alpha: weight of the constraint; 0 leaves it out.

    Raises:
        TypeError: an argument that is no tensor, another dtype than the above, or two of them.
        ValueError: no images, parameters or references, different devices, a chain whose layers do not
            fit each other, the parameters, the references or the images; or a chain that is scored but not
            trained: one with an affine layer, or with a constrained layer before the bottleneck.
    """
    check_chain_arguments(images, parameters, references, chain)
    if len(images) == 0:
        raise ValueError("expected one or more images, got none")
    results = call(
        "objective_gradient",
        detached(images),
        [detached(parameter) for parameter in parameters],
        [detached(reference) for reference in references],
        *chain,
        None if noise is None else detached(noise),
        alpha,
    )
    inputs = (images, *parameters, *references, *([] if noise is None else [noise]))
    reconstruction, latent, cosine, gradient, primal = not_differentiable("objective_gradient", results, inputs)
    return ObjectiveGradient(reconstruction, latent, cosine, _split(gradient, parameters), _split(primal, references))


def _split(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    parts = torch.split(flat, [tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]


refuse_derivatives("objective_gradient")


@torch.library.register_fake("gradcon_ext::objective_gradient")
def _(
    images: Tensor,
    parameters: Sequence[Tensor],
    references: Sequence[Tensor],
    program: Sequence[int],
    constants: Sequence[float],
    loss: int,
    noise: Tensor | None,
    alpha: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    samples, first = images.shape[0], parameters[0]
    return (
        first.new_empty(samples),
        first.new_empty(samples),
        first.new_empty(len(references)),
        first.new_empty(sum(parameter.numel() for parameter in parameters)),
        first.new_empty(sum(reference.numel() for reference in references)),
    )
