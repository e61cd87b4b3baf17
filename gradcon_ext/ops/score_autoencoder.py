"""Anomaly scores of images by an autoencoder that is a chain of layers, in one call."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gradcon_ext.chain.chain import LAYER_FIELDS, EncodedChain
from gradcon_ext.ops._catalogue import call
from gradcon_ext.ops._chain_checks import check_chain_arguments, detached
from gradcon_ext.ops._not_differentiable import not_differentiable, refuse_derivatives

_Results = tuple[Tensor, Tensor, Tensor, Tensor]


def score_autoencoder(
    images: Tensor,
    parameters: Sequence[Tensor],
    references: Sequence[Tensor],
    chain: EncodedChain,
    with_code: bool = False,
) -> tuple[Tensor, ...]:
    """Score every image: its losses, and the alignment of its gradients with the references.

    The layers' forward and backward passes and the alignments are one program, which keeps a few samples in the cache
    from end to end. No per-sample gradient and no batch of activations is ever formed. Not differentiable.

    Large images, and few of them, have their rows cut into strips that are computed side by side. The shapes and the
    number of images decide it, so the last bits of a score depend on those, but never on the number of threads. On the
    CPU all threads together work in 64 MiB at most, or in what one image takes where that is more; up to 64 MiB are
    kept for the next call.

    Args:
        images: (N, C, H, W), uint8 (0 to 255) or of the dtype of the parameters (0 to 1); also what is to be
            reconstructed.
        parameters: weights, biases, scales and shifts of the layers; float32 or float64, of any strides.
        references: of the constrained weights, each of the shape of its weight.
        chain: the layers and the loss, `gradcon_ext.chain.Chain.encoded`.
        with_code: whether to return the code, which has been computed anyway.

    Returns:
        Reconstruction loss (N,), latent loss (N,), and cosine (N, L) in the order of the references; of the dtype of
        the parameters. A cosine is 0 where the gradient or the reference is zero. And if asked for the code (N, D):
        what the first constrained layer is given, its channels, rows and columns in that order.

    Raises:
        TypeError: an argument that is no tensor, another dtype than the above, or two of them.
        ValueError: no parameters or no references, different devices, or a chain whose layers do not fit each
            other, the parameters, the references or the images.
    """
    check_chain_arguments(images, parameters, references, chain)
    results = call(
        "score_autoencoder",
        detached(images),
        [detached(parameter) for parameter in parameters],
        [detached(reference) for reference in references],
        *chain,
        with_code,
    )
    wanted = tuple(results)[: 4 if with_code else 3]
    return not_differentiable("score_autoencoder", wanted, (images, *parameters, *references))


refuse_derivatives("score_autoencoder")


@torch.library.register_fake("gradcon_ext::score_autoencoder")
def _(
    images: Tensor,
    parameters: Sequence[Tensor],
    references: Sequence[Tensor],
    program: Sequence[int],
    constants: Sequence[float],
    loss: int,
    with_code: bool = False,
) -> _Results:
    samples, first = images.shape[0], parameters[0]
    code = first.new_empty(samples, _code_size(images, program) if with_code else 0)
    return first.new_empty(samples), first.new_empty(samples), first.new_empty(samples, len(references)), code


def _code_size(images: Tensor, program: Sequence[int]) -> int:
    """How many numbers of a sample the first constrained layer is given."""
    size = math.prod(images.shape[1:])
    for start in range(0, len(program), len(LAYER_FIELDS)):
        layer = dict(zip(LAYER_FIELDS, program[start:], strict=False))
        if layer["reference"] >= 0:
            break
        size = layer["channels"] * layer["rows"] * layer["columns"]
    return size
