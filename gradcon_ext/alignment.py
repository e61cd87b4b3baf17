"""Alignment of every sample's weight gradients with references, for a model's constrained layers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gradcon_ext.capture import LayerRecord, captured
from gradcon_ext.losses import Loss, SampleLosses
from gradcon_ext.ops import conv_grad_alignment, linear_grad_alignment

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)


def sample_alignment(
    model: nn.Module,
    loss: Loss,
    images: Tensor,
    layers: Mapping[str, nn.Module],
    references: Mapping[str, Tensor],
) -> tuple[SampleLosses, Tensor]:
    """Losses of every sample, and the cosines of its weight gradients to the references.

    One forward pass and one backward pass that ends at the first constrained layer; no weight gradient is formed,
    neither the batch's nor a sample's. The model must treat samples independently of each other.

    Args:
        model: in eval mode.
        loss: takes the model's output and the images.
        images: (N, C, H, W).
        layers: the constrained layers by the names of their weights.
        references: one for each layer, of the shape of its weight.

    Returns:
        The losses, and the cosines (N, L) in the order of `layers`; 0 for a gradient or a reference of norm zero.
    """
    # Gradients are needed here whatever mode the caller is in.
    with torch.inference_mode(False), torch.enable_grad():
        frozen = {name: _outside_inference(parameter) for name, parameter in model.named_parameters()}
        images = _outside_inference(images)
        with captured(layers) as capture:
            output = torch.func.functional_call(model, frozen, (images,))
            losses = loss(output, images)
            # The gradient of the sum holds every sample's own, because samples do not mix.
            torch.autograd.grad(losses.total.sum(), capture.leaves)
    cosines = [_cosine(layer, capture.records[name], references[name]) for name, layer in layers.items()]
    return SampleLosses(losses.reconstruction.detach(), losses.latent.detach()), torch.stack(cosines, 1)


def _outside_inference(tensor: Tensor) -> Tensor:
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def _cosine(layer: nn.Module, record: LayerRecord, reference: Tensor) -> Tensor:
    if record.grad_output is None:
        return record.input.new_zeros(len(record.input))
    dot, sq_norm = _align(layer, record.input, record.grad_output, reference)
    norms = sq_norm.sqrt() * torch.linalg.vector_norm(reference)
    return torch.where(norms > 0, dot / norms, 0).clamp(-1, 1)


def _align(layer: nn.Module, input: Tensor, grad_output: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(layer, nn.Linear):
        return linear_grad_alignment(input, grad_output, reference)
    if not isinstance(layer, _CONVOLUTIONS) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(f"there is no alignment op for {layer}")
    transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d)
    return conv_grad_alignment(
        input, grad_output, reference, layer.stride, layer.padding, layer.dilation, layer.groups, transposed
    )
