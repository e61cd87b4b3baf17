"""Dot products of every sample's gradient with K references, over all parameters at once: ours, and what others write.

Each function returns the dots (N, K) and the squared norms of the gradients (N,).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.examples.small_classifier import loss
from gradcon_ext import per_sample_alignment

References = dict[str, Tensor]
Products = tuple[Tensor, Tensor]


def ours(
    model: nn.Module, references: References, images: Tensor, labels: Tensor, batch: int | None = None
) -> Products:
    alignment = per_sample_alignment(model, loss, images, references, labels, batch_size=batch)
    return sum(alignment.dot.values()), sum(alignment.sq_norm.values())


def cosines(products: Products, references: References) -> Tensor:
    """Over all parameters, (N, K); 0 where a gradient or a reference is zero."""
    dots, sq_norms = products
    norms = sum(reference.flatten(1).square().sum(1) for reference in references.values()).sqrt()
    lengths = sq_norms.sqrt()[:, None] * norms
    return torch.where(lengths > 0, dots / lengths, 0)


def vmap_grad(model: nn.Module, references: References, images: Tensor, labels: Tensor, batch: int) -> Products:
    weights = {name: weight.detach() for name, weight in model.named_parameters()}

    def sample_loss(weights: References, image: Tensor, label: Tensor) -> Tensor:
        return loss(torch.func.functional_call(model, weights, (image[None],)), label[None]).sum()

    gradients_of = torch.func.vmap(torch.func.grad(sample_loss), in_dims=(None, 0, 0))
    parts = []
    for some, their_labels in zip(images.split(batch), labels.split(batch), strict=True):
        gradients = gradients_of(weights, some, their_labels)
        parts.append(_total(_of_formed(gradients[name].flatten(1), references[name]) for name in references))
    return _joined(parts)


def hooks(model: nn.Module, references: References, images: Tensor, labels: Tensor, batch: int) -> Products:
    """Of convolutions without groups, and of linear layers at one position, whose gradients are not formed."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    inputs: References = {}
    outputs: References = {}

    def keep(name: str, layer: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
        inputs[name], outputs[name] = arguments[0].detach(), output

    handles = [layer.register_forward_hook(partial(keep, name)) for name, layer in layers.items()]
    parts = []
    try:
        for some, their_labels in zip(images.split(batch), labels.split(batch), strict=True):
            total = loss(model(some), their_labels).sum()
            grad_outputs = dict(
                zip(layers, torch.autograd.grad(total, [outputs[name] for name in layers]), strict=True)
            )
            parts.append(
                _total(
                    product
                    for name, layer in layers.items()
                    for product in _of_layer(layer, name, inputs[name], grad_outputs[name], references)
                )
            )
    finally:
        for handle in handles:
            handle.remove()
    return _joined(parts)


def _of_layer(
    layer: nn.Module, name: str, input: Tensor, grad_output: Tensor, references: References
) -> tuple[Products, Products]:
    weight, bias = references[f"{name}.weight"], references[f"{name}.bias"]
    if isinstance(layer, nn.Linear):
        projected = (input @ weight.flatten(0, 1).T).unflatten(1, weight.shape[:2])
        sq_norms = input.square().sum(1) * grad_output.square().sum(1)
        of_weight = torch.einsum("nko,no->nk", projected, grad_output), sq_norms
        return of_weight, _of_formed(grad_output, bias)
    patches = nn.functional.unfold(input, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    gradients = torch.bmm(grad_output.flatten(2), patches.transpose(1, 2))
    return _of_formed(gradients.flatten(1), weight), _of_formed(grad_output.sum((2, 3)), bias)


def _of_formed(gradients: Tensor, references: Tensor) -> Products:
    return gradients @ references.flatten(1).T, gradients.square().sum(1)


def _total(products: Iterable[Products]) -> Products:
    dots, sq_norms = zip(*products, strict=True)
    return sum(dots), sum(sq_norms)


def _joined(parts: Sequence[Products]) -> Products:
    dots, sq_norms = zip(*parts, strict=True)
    return torch.cat(dots), torch.cat(sq_norms)
