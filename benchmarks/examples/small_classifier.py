"""Small classifiers of grey images of 28 pixels, their training, and gradients of batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 10


def convolutional(seed: int, width: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * 7 * 7, CLASSES),
    )


def perceptron(seed: int, hidden: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))


def loss(output: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(output, labels, reduction="none")


def checkpoints(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    after: Sequence[int],
    *,
    rate: float,
    momentum: float = 0,
    batch: int = 64,
    seed: int = 0,
) -> list[nn.Module]:
    """Train by SGD, and keep what the model is after some numbers of steps, of which the last ends it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
    generator = torch.Generator().manual_seed(seed)
    kept = []
    order: list[Tensor] = []
    for step in range(1, max(after) + 1):
        order = order or list(torch.randperm(len(images), generator=generator).split(batch))
        some = order.pop()
        optimizer.zero_grad()
        loss(model(images[some]), labels[some]).mean().backward()
        optimizer.step()
        if step in after:
            kept.append(deepcopy(model))
    return kept


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


def gradients_of_batches(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The gradient of the mean loss of each of K batches of images and labels: (K, *parameter), by name."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = [torch.autograd.grad(loss(model(images), labels).mean(), parameters) for images, labels in batches]
    return {name: torch.stack(some) for name, some in zip(names, zip(*gradients, strict=True), strict=True)}
