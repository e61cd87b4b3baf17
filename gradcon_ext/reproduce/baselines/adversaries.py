"""What is common to trainings against networks that tell real from made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


def verdict_loss(logits: Tensor, real: bool) -> Tensor:
    """Return how far verdicts (N, 1) are from the one that all are real, or that none is: the mean cross-entropy."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def adam(*networks: nn.Module, lr: float) -> torch.optim.Adam:
    """Make an optimiser of networks whose first moments are short, as in most adversarial trainings."""
    return torch.optim.Adam([weight for network in networks for weight in network.parameters()], lr, betas=(0.5, 0.999))


def minimise(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step; only the gradients of the optimiser's own weights are computed."""
    weights: Sequence[Tensor] = [weight for group in optimizer.param_groups for weight in group["params"]]
    optimizer.zero_grad()
    torch.autograd.backward(loss, inputs=weights)
    optimizer.step()


def shuffled(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Yield images (N, C, H, W) in random order, in batches of nearly the same size, since normalising needs a few.

    Raises:
        ValueError: a single image.
    """
    if len(images) < 2:
        raise ValueError(f"adversarial training normalises batches, which takes 2 images or more; got {len(images)}")
    for indices in torch.tensor_split(torch.randperm(len(images)), ceil(len(images) / batch_size)):
        yield images[indices]
