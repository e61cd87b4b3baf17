"""What is common to trainings against networks that tell real from made."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gradcon_ext.data.labelled import ImageArray

BETAS = (0.5, 0.999)
"""Of Adam, whose first moments are shorter than by default in most adversarial trainings."""


def scaled(images: ImageArray) -> Tensor:
    """Bring the pixels of images to [-1, 1], the range of a generator that ends in a tanh."""
    return torch.from_numpy(images).float() / 127.5 - 1


def verdict_loss(logits: Tensor, real: bool) -> Tensor:
    """Return how far verdicts (N, 1) are from the one that all are real, or that none is: the mean cross-entropy."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def adam(*networks: nn.Module, lr: float) -> torch.optim.Adam:
    """Make one optimiser of all weights of networks."""
    return torch.optim.Adam([weight for network in networks for weight in network.parameters()], lr, BETAS)
