"""Ways to clip the gradients of single samples: ours, `torch.func`, Opacus, and by hand, to check them by."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext import clipped_gradient_sum, gradient_norms
from gradcon_ext.models import ConvAutoencoder

Sums = dict[str, Tensor]


@dataclass(frozen=True)
class Workload:
    """A model, a loss that returns one value a sample, inputs (N, ...) and targets (N, ...)."""

    name: str
    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    inputs: Tensor
    targets: Tensor

    @staticmethod
    def autoencoder(size: int, samples: int = 64) -> Workload:
        torch.manual_seed(0)
        images = torch.rand(samples, 3, size, size)
        return Workload(f"autoencoder, {size} pixels", ConvAutoencoder(3, size), _squared_error, images, images)

    @staticmethod
    def resnet(samples: int = 64) -> Workload:
        torch.manual_seed(0)
        images, labels = torch.rand(samples, 3, 32, 32), torch.randint(0, 10, (samples,))
        loss = partial(functional.cross_entropy, reduction="none")
        return Workload("ResNet, 32 pixels", small_resnet(), loss, images, labels)


def _squared_error(output: Tensor, images: Tensor) -> Tensor:
    return (output - images).square().flatten(1).mean(1)


class Block(nn.Module):
    """Two convolutions with group normalisation, and a shortcut: batch normalisation would mix samples."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.first_norm = nn.GroupNorm(8, channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.second_norm = nn.GroupNorm(8, channels_out)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(hidden)) + self.shortcut(x))


def small_resnet(classes: int = 10) -> nn.Sequential:
    """Build a classifier of 32x32 images with three blocks of 16, 32 and 64 channels, 80 thousand parameters."""
    stem = [nn.Conv2d(3, 16, 3, 1, 1), nn.GroupNorm(8, 16), nn.ReLU()]
    blocks = [Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


class Clipper(Protocol):
    """Takes a batch at a time."""

    def norms(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Norm of each sample's gradient over all parameters, (N,)."""

    def clipped_sum(self, inputs: Tensor, targets: Tensor, bound: float) -> Sums:
        """Sum of all gradients, each at most `bound` long, by the names of the parameters."""


def together(norms: Sums) -> Tensor:
    """Norms over all parameters, (N,), from those of each."""
    return torch.linalg.vector_norm(torch.stack([*norms.values()]), dim=0)


class Ours:
    def __init__(self, workload: Workload) -> None:
        self.model, self.loss = workload.model, workload.loss

    def norms(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return together(gradient_norms(self.model, self.loss, inputs, targets=targets, batch_size=len(inputs)))

    def clipped_sum(self, inputs: Tensor, targets: Tensor, bound: float) -> Sums:
        return clipped_gradient_sum(self.model, self.loss, inputs, bound, targets=targets, batch_size=len(inputs))


class TwoPasses(Ours):
    """Our norms, and then a pass of torch's own over losses with weights."""

    def clipped_sum(self, inputs: Tensor, targets: Tensor, bound: float) -> Sums:
        weights = (bound / self.norms(inputs, targets)).clamp(max=1)
        names, parameters = zip(*self.model.named_parameters(), strict=True)
        losses = self.loss(self.model(inputs), targets)
        return dict(zip(names, torch.autograd.grad((weights * losses).sum(), parameters), strict=True))


class ByVmap:
    """All gradients of a batch at once, by `torch.func.vmap(grad)`."""

    def __init__(self, workload: Workload) -> None:
        self.weights = {name: weight.detach() for name, weight in workload.model.named_parameters()}

        def loss(weights: Sums, input: Tensor, target: Tensor) -> Tensor:
            output = torch.func.functional_call(workload.model, weights, (input[None],))
            return workload.loss(output, target[None])[0]

        self.gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def norms(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return self._norms_of(self.gradients(self.weights, inputs, targets))

    def clipped_sum(self, inputs: Tensor, targets: Tensor, bound: float) -> Sums:
        gradients = self.gradients(self.weights, inputs, targets)
        factors = (bound / self._norms_of(gradients)).clamp(max=1)
        return {name: torch.tensordot(factors, gradient, 1) for name, gradient in gradients.items()}

    @staticmethod
    def _norms_of(gradients: Sums) -> Tensor:
        return together({name: gradient.flatten(1).norm(dim=1) for name, gradient in gradients.items()})


class ByHand(ByVmap):
    """The definition, in double precision: autograd of one sample at a time."""

    def __init__(self, workload: Workload) -> None:
        model = deepcopy(workload.model).double()
        names, parameters = zip(*model.named_parameters(), strict=True)

        def gradients(_: Sums, inputs: Tensor, targets: Tensor) -> Sums:
            rows = [
                torch.autograd.grad(workload.loss(model(input[None]), target[None])[0], parameters)
                for input, target in zip(_double(inputs), _double(targets), strict=True)
            ]
            return dict(zip(names, map(torch.stack, zip(*rows, strict=True)), strict=True))

        self.weights, self.gradients = {}, gradients


def _double(values: Tensor) -> Tensor:
    return values.double() if values.is_floating_point() else values


class Opacus:
    """Fast gradient clipping of Opacus: norms in a backward pass, and a second one of the weighted losses."""

    def __init__(self, workload: Workload) -> None:
        try:
            from opacus.grad_sample import GradSampleModuleFastGradientClipping
        except ModuleNotFoundError as error:
            raise SystemExit(f"{error}: pip install --no-deps opacus opt-einsum") from error
        self.loss = workload.loss
        self.model = deepcopy(workload.model)  # which gets hooks
        self.module = GradSampleModuleFastGradientClipping(self.model, loss_reduction="sum")

    def norms(self, inputs: Tensor, targets: Tensor) -> Tensor:
        self.module.zero_grad()
        self.loss(self.module(inputs), targets).sum().backward()
        return self.module.get_norm_sample().detach()

    def clipped_sum(self, inputs: Tensor, targets: Tensor, bound: float) -> Sums:
        """As in the `backward` of its DPTensorFastGradientClipping."""
        self.module.max_grad_norm = bound
        losses = self.loss(self.module(inputs), targets)
        losses.sum().backward(retain_graph=True)
        self.module.zero_grad()
        factors = self.module.get_clipping_coef()
        self.module.disable_hooks()
        (factors * losses).sum().backward()
        self.module.enable_hooks()
        return {name: parameter.grad.clone() for name, parameter in self.model.named_parameters()}


GRADCON, TWO_PASSES, VMAP, OPACUS = "gradcon_ext", "gradcon_ext's norms, second pass", "vmap(grad)", "Opacus"
CLIPPERS: dict[str, Callable[[Workload], Clipper]] = {
    GRADCON: Ours,
    TWO_PASSES: TwoPasses,
    VMAP: ByVmap,
    OPACUS: Opacus,
}
