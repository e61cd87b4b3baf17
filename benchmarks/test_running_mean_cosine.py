"""How long does it take to take a gradient into a running mean and get its cosine to the mean before?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from gradcon_ext.ops import running_mean_cosine_

SHAPE = (64, 64, 4, 4)


def separate(mean: Tensor, grad: Tensor, count: int) -> Tensor:
    """Take the same two steps in torch, each a pass of its own."""
    cosine = functional.cosine_similarity(mean.flatten(), grad.flatten(), dim=0)
    mean.lerp_(grad, 1 / (count + 1))
    return cosine


def test_running_mean_cosine(compare) -> None:
    mean, grad = torch.randn(SHAPE), torch.randn(SHAPE)
    compare(
        lambda: running_mean_cosine_(mean, grad, 1000),
        lambda: separate(mean, grad, 1000),
        question="running mean of a gradient (64, 64, 4, 4) and its cosine",
        name="gradcon_ext.ops.running_mean_cosine_",
        baseline_name="cosine_similarity, then lerp_",
        samples=1,
        rounds=200,
    )
