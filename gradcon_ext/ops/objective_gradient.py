"""The gradient of the training objective of an autoencoder that is a chain of layers, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gradcon_ext.ops._catalogue import compiled
from gradcon_ext.ops._chain_checks import check_chain_arguments, detached


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
    program: Sequence[int],
    constants: Sequence[float],
    loss: str,
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
        program: the layers, as `gradcon_ext.chain.Chain.program` encodes them.
        constants: one number a layer, `gradcon_ext.chain.Chain.constants`.
        loss: "squared_error", or "evidence_bound" for a chain with a bottleneck; see `gradcon_ext.losses`.
        noise: standard normal numbers (N, Z) of a bottleneck with a code of Z numbers; None without a bottleneck.
        alpha: weight of the constraint; 0 leaves it out.

    Raises:
        TypeError: an argument that is no tensor, another dtype than the above, or two of them.
        ValueError: no images, parameters or references, different devices, another loss, a program whose layers do
            not fit each other, the parameters, the references or the images; or a chain that is scored but not
            trained: one with an affine layer, or with a constrained layer before the bottleneck.
    """
    check_chain_arguments(images, parameters, references, program, constants, loss)
    if len(images) == 0:
        raise ValueError("expected one or more images, got none")
    reconstruction, latent, cosine, gradient, primal = compiled.objective_gradient(
        detached(images),
        [detached(parameter) for parameter in parameters],
        [detached(reference) for reference in references],
        list(program),
        list(constants),
        loss,
        noise,
        alpha,
    )
    return ObjectiveGradient(reconstruction, latent, cosine, _split(gradient, parameters), _split(primal, references))


def _split(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    parts = torch.split(flat, [tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]


@torch.library.register_fake("gradcon_ext::objective_gradient")
def _(
    images: Tensor,
    parameters: Sequence[Tensor],
    references: Sequence[Tensor],
    program: Sequence[int],
    constants: Sequence[float],
    loss: str,
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
