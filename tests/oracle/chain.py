"""The oracle of the fused autoencoder: its program, run layer by layer in plain PyTorch, one sample at a time."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gradcon_ext.chain.chain import CONVOLUTIONS, LAYER_FIELDS, LOSSES, EncodedChain, LayerKind

_ACTIVATIONS: dict[int, Callable[[Tensor, float], Tensor]] = {
    LayerKind.RELU: lambda x, _: functional.relu(x),
    LayerKind.LEAKY_RELU: lambda x, slope: functional.leaky_relu(x, slope),
    LayerKind.ELU: lambda x, alpha: functional.elu(x, alpha),
    LayerKind.GELU: lambda x, _: functional.gelu(x),
    LayerKind.GELU_TANH: lambda x, _: functional.gelu(x, approximate="tanh"),
    LayerKind.SIGMOID: lambda x, _: torch.sigmoid(x),
    LayerKind.TANH: lambda x, _: torch.tanh(x),
}
_Record = namedtuple("_Record", LAYER_FIELDS)


def score_autoencoder(
    images: Tensor,
    parameters: Sequence[Tensor],
    references: Sequence[Tensor],
    chain: EncodedChain,
    with_code: bool = False,
) -> tuple[Tensor, ...]:
    """Score images with an autoencoder that is a chain of layers, one `autograd.grad` a sample.

    Args:
        images: (N, C, H, W), uint8 (0 to 255) or of the dtype of the parameters (0 to 1).
        parameters: of the layers.
        references: of the constrained weights, each of the shape of its weight.
        chain: the layers and the loss; see `gradcon_ext.chain.chain`.
        with_code: whether to return the code too.

    Returns:
        Reconstruction loss (N,), latent loss (N,), and the cosine of every constrained gradient to its reference
        (N, L). With a code, also the input of the first constrained layer (N, D).
    """
    layers, loss = _layers(chain), LOSSES[chain.loss]
    dtype = parameters[0].dtype
    pixels = images.to(dtype) / 255 if images.dtype == torch.uint8 else images
    reconstructions, latents = pixels.new_zeros(len(pixels)), pixels.new_zeros(len(pixels))
    cosines = pixels.new_zeros(len(pixels), len(references))
    for n in range(len(pixels)):
        values = [parameter.detach().clone() for parameter in parameters]
        constrained = {
            layer.reference: values[layer.weight].requires_grad_() for layer in layers if layer.reference >= 0
        }
        image = pixels[n : n + 1].detach()
        with torch.enable_grad():
            output, divergence = _forward(image, values, layers, chain.constants)
            reconstruction, latent = _RECONSTRUCTION_LOSSES[loss](output, image), divergence / image.numel()
            weights = [constrained[column] for column in range(len(references))]
            gradients = torch.autograd.grad(reconstruction + latent, weights) if weights else ()
        reconstructions[n], latents[n] = reconstruction.detach(), latent.detach()
        for column, (gradient, reference) in enumerate(zip(gradients, references, strict=True)):
            cosines[n, column] = _cosine(gradient.double(), reference.double())
    if not with_code:
        return reconstructions, latents, cosines
    first = next(index for index, layer in enumerate(layers) if layer.reference >= 0)
    with_one_more = (*pixels, pixels.new_zeros(pixels.shape[1:]))
    codes = [_forward(image[None], parameters, layers[:first], chain.constants[:first])[0] for image in with_one_more]
    return reconstructions, latents, cosines, torch.cat(codes)[:-1].flatten(1).detach()


def objective_gradient(
    images: Tensor,
    parameters: Sequence[Tensor],
    references: Sequence[Tensor],
    chain: EncodedChain,
    noise: Tensor | None,
    alpha: float,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor], list[Tensor]]:
    """Differentiate the training objective of a batch, by double backward.

    Args:
        images: as for `score_autoencoder`.
        parameters: likewise.
        references: likewise.
        chain: likewise.
        noise: of the code of a bottleneck, (N, Z).
        alpha: weight of the constraint.

    Returns:
        Reconstruction loss (N,), latent loss (N,), cosine of the batch's gradients (L,), gradient of the objective by
        each parameter, and of the primal loss by each constrained weight.
    """
    layers, loss = _layers(chain), LOSSES[chain.loss]
    values = [parameter.detach().clone().requires_grad_() for parameter in parameters]
    constrained = {layer.reference: values[layer.weight] for layer in layers if layer.reference >= 0}
    weights = [constrained[column] for column in range(len(references))]
    pixels = images.to(parameters[0].dtype) / 255 if images.dtype == torch.uint8 else images.detach()
    reconstructions, latents = [], []
    with torch.enable_grad():
        for n in range(len(pixels)):
            image = pixels[n : n + 1]
            output, divergence = _forward(image, values, layers, chain.constants, None if noise is None else noise[n])
            reconstructions.append(_RECONSTRUCTION_LOSSES[loss](output, image))
            latents.append(divergence / image.numel())
        reconstruction, latent = torch.stack(reconstructions), torch.stack(latents)
        primal = torch.autograd.grad((reconstruction + latent).mean(), weights, create_graph=True)
        cosines = torch.stack(
            [_cosine(gradient, reference) for gradient, reference in zip(primal, references, strict=True)]
        )
        objective = (reconstruction + latent).mean() - alpha * cosines.mean()
        gradients = torch.autograd.grad(objective, values, allow_unused=True, materialize_grads=True)
    detached = [gradient.detach() for gradient in primal]
    return reconstruction.detach(), latent.detach(), cosines.detach(), list(gradients), detached


def _layers(chain: EncodedChain) -> list[_Record]:
    program, fields = chain.program, len(LAYER_FIELDS)
    return [_Record(*program[start : start + fields]) for start in range(0, len(program), fields)]


def _forward(
    x: Tensor,
    parameters: Sequence[Tensor],
    layers: Sequence[_Record],
    constants: Sequence[float],
    noise: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The output of all layers, and the sum of the divergences of the bottlenecks."""
    divergence = x.new_zeros(())
    for layer, constant in zip(layers, constants, strict=True):
        if layer.kind == LayerKind.BOTTLENECK:
            log_variance = _linear(x, parameters, layer.weight + 2, layer.bias + 2)
            x = _linear(x, parameters, layer.weight, layer.bias)
            divergence = divergence + 0.5 * (x.square() + log_variance.exp() - log_variance - 1).sum()
            if noise is not None:
                x = x + (log_variance / 2).exp() * noise
        else:
            x = _layer(x, parameters, layer, constant)
        x = x.reshape(1, layer.channels, layer.rows, layer.columns)
    return x, divergence


def _layer(x: Tensor, parameters: Sequence[Tensor], layer: _Record, constant: float) -> Tensor:
    kind, weight, bias = layer.kind, layer.weight, layer.bias
    if kind in CONVOLUTIONS:
        return _convolution(x, parameters[weight], parameters[bias] if bias >= 0 else None, layer)
    if kind == LayerKind.LINEAR:
        return _linear(x, parameters, weight, bias)
    if kind == LayerKind.AFFINE:
        return x * parameters[weight].view(-1, 1, 1) + parameters[bias].view(-1, 1, 1)
    if kind == LayerKind.UPSAMPLE:
        rows, columns = layer.rows // x.shape[2], layer.columns // x.shape[3]
        return x.repeat_interleave(rows, 2).repeat_interleave(columns, 3)
    return x if kind == LayerKind.RESHAPE else _ACTIVATIONS[kind](x, constant)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, layer: _Record) -> Tensor:
    stride = layer.stride_rows, layer.stride_columns
    padding = layer.padding_rows, layer.padding_columns
    dilation, groups = (layer.dilation_rows, layer.dilation_columns), layer.groups
    if layer.kind == LayerKind.CONV:
        return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)
    output_padding = [
        made - ((size - 1) * s - 2 * p + d * (k - 1) + 1)
        for made, size, s, p, d, k in zip(
            (layer.rows, layer.columns), x.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
        )
    ]
    return functional.conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)


def _linear(x: Tensor, parameters: Sequence[Tensor], weight: int, bias: int) -> Tensor:
    return functional.linear(x.flatten(1), parameters[weight], parameters[bias] if bias >= 0 else None)


def _squared_error(output: Tensor, image: Tensor) -> Tensor:
    return (output - image).square().mean()


def _cross_entropy(output: Tensor, image: Tensor) -> Tensor:
    probability = output.clamp(1e-12, 1 - torch.finfo(output.dtype).eps)
    return -(image * probability.log() + (1 - image) * (-probability).log1p()).mean()


_RECONSTRUCTION_LOSSES = {"squared_error": _squared_error, "evidence_bound": _cross_entropy}


def _cosine(gradient: Tensor, reference: Tensor) -> Tensor:
    """Each is brought to length 1 by itself, for the product of two small norms may vanish."""
    lengths = torch.linalg.vector_norm(gradient), torch.linalg.vector_norm(reference)
    if min(lengths) == 0:
        return torch.zeros_like(lengths[0])
    cosine = ((gradient / lengths[0]) * (reference / lengths[1])).sum()
    return torch.as_tensor(cosine).clamp(-1, 1)
