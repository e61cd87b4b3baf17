"""What a user would write without this package: the same scores and the same training step in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

References = dict[str, Tensor]


def forward(model: nn.Module, images: Tensor, batch: int) -> None:
    """Run torch's eager forward pass alone."""
    with torch.no_grad():
        for part in images.split(batch):
            model(part)


def forward_backward(model: nn.Module, references: References, images: Tensor, batch: int) -> None:
    """Run torch's forward and backward pass, to the gradients of the batch by the constrained weights alone."""
    weights = [model.get_parameter(name) for name in references]
    for part in images.split(batch):
        torch.autograd.grad(functional.mse_loss(model(part), part), weights)


def forward_backward_to_all(model: nn.Module, images: Tensor) -> None:
    """Run torch's forward and backward pass as one writes them: to the gradients of the batch by every parameter."""
    model.zero_grad()
    functional.mse_loss(model(images), images).backward()


def image_at_a_time(model: nn.Module, references: References, images: Tensor, alpha: float = 0.12) -> Tensor:
    """Score like the published evaluation loop: a full backward pass for each image. Scores (N,)."""
    weights = dict(model.named_parameters())
    scores = []
    for image in images:
        model.zero_grad()
        loss = functional.mse_loss(model(image[None]), image[None])
        loss.backward()
        cosines = [
            functional.cosine_similarity(weights[name].grad.view(-1, 1), reference.view(-1, 1), dim=0)
            for name, reference in references.items()
        ]
        scores.append(loss.detach() - alpha * sum(cosines) / len(cosines))
    return torch.cat(scores)


def vmap_grad(model: nn.Module, references: References, images: Tensor, batch: int, alpha: float = 0.12) -> Tensor:
    """Score with `torch.func.vmap(grad)` over the constrained weights. Scores (N,)."""
    frozen = {name: weight.detach() for name, weight in model.named_parameters()}
    constrained = {name: frozen.pop(name) for name in references}

    def loss(weights: References, image: Tensor) -> tuple[Tensor, Tensor]:
        output = torch.func.functional_call(model, {**frozen, **weights}, (image[None],))
        error = functional.mse_loss(output, image[None])
        return error, error

    gradients_of = torch.func.vmap(torch.func.grad(loss, has_aux=True), in_dims=(None, 0))
    scores = []
    for part in images.split(batch):
        gradients, errors = gradients_of(constrained, part)
        scores.append(errors - alpha * _mean_cosine(gradients, references))
    return torch.cat(scores)


def hooks_unfold_bmm(
    model: nn.Module, references: References, images: Tensor, batch: int, alpha: float = 0.12
) -> Tensor:
    """Score with layer hooks, `unfold` and one batched matrix product a layer. Scores (N,)."""
    layers = {name: model.get_submodule(name.removesuffix(".weight")) for name in references}
    inputs: References = {}
    outputs: References = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def hook(layer: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
            inputs[name], outputs[name] = arguments[0].detach(), output

        return hook

    handles = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    scores = []
    try:
        for part in images.split(batch):
            errors = (model(part) - part).square().flatten(1).mean(1)
            grad_outputs = torch.autograd.grad(errors.sum(), list(outputs.values()))
            gradients = {
                name: transposed_convolution_gradients(layers[name], inputs[name], grad_output)
                for name, grad_output in zip(outputs, grad_outputs, strict=True)
            }
            scores.append(errors.detach() - alpha * _mean_cosine(gradients, references))
    finally:
        for handle in handles:
            handle.remove()
    return torch.cat(scores)


def transposed_convolution_gradients(layer: nn.Module, input: Tensor, grad_output: Tensor) -> Tensor:
    """Every sample's weight gradient of a ConvTranspose2d, (N, *weight), by unfold and bmm."""
    patches = functional.unfold(grad_output, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    return torch.bmm(input.flatten(2), patches.transpose(1, 2)).view(-1, *layer.weight.shape)


def published_step(model: nn.Module, optimizer: torch.optim.Optimizer, references: References, images: Tensor) -> None:
    """Take a training step like the published loop: one differentiation a layer, then double backward."""
    weights = dict(model.named_parameters())
    optimizer.zero_grad()
    loss = functional.mse_loss(model(images), images)
    cosine = torch.zeros(1)
    for name, reference in references.items():
        (gradient,) = torch.autograd.grad(loss, weights[name], create_graph=True, retain_graph=True)
        cosine = cosine + functional.cosine_similarity(gradient.view(-1, 1), reference.view(-1, 1), dim=0)
    (loss - 0.03 * cosine / len(references)).backward()
    for name, reference in references.items():
        reference.mul_(0.99).add_(weights[name].grad, alpha=0.01)
    optimizer.step()


def plain_step(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor) -> None:
    """Take a training step without any constraint."""
    optimizer.zero_grad()
    functional.mse_loss(model(images), images).backward()
    optimizer.step()


def _mean_cosine(gradients: References, references: References) -> Tensor:
    cosines = [
        functional.cosine_similarity(gradients[name].flatten(1), reference.flatten()[None])
        for name, reference in references.items()
    ]
    return torch.stack(cosines).mean(0)
