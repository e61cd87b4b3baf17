"""TracInCP (Pruthi, Liu, Kale and Sundararajan, 2020), whose dot products are alignments with several references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.examples.dot_products import References, cosines, ours
from benchmarks.examples.labelled_images import Images
from benchmarks.examples.small_classifier import gradients_of_batches, loss


@dataclass(frozen=True)
class Influence:
    """Of N training images on K test images, added up over checkpoints.

    Attributes:
        on_tests: the influence of each on each, (N, K); positive for proponents, negative for opponents.
        cosine: the mean over the checkpoints of the same gradients' cosines, (N, K).
        on_itself: the influence of each on its own loss, (N,).
        loss: the mean over the checkpoints, (N,).
    """

    on_tests: Tensor
    cosine: Tensor
    on_itself: Tensor
    loss: Tensor


def influence_of(models: Sequence[nn.Module], rate: float, train: Images, tests: Images) -> Influence:
    """Sum the learning rate times the dot product of gradients over the checkpoints."""
    on_tests, alignments, on_itself, losses = [], [], [], []
    for model in models:
        references = references_of(model, tests)
        dots, sq_norms = ours(model, references, train.images, train.labels)
        on_tests.append(rate * dots)
        alignments.append(cosines((dots, sq_norms), references))
        on_itself.append(rate * sq_norms)
        with torch.no_grad():
            losses.append(loss(model(train.images), train.labels))
    return Influence(sum(on_tests), torch.stack(alignments).mean(0), sum(on_itself), torch.stack(losses).mean(0))


def references_of(model: nn.Module, samples: Images) -> References:
    """The gradient of every single one."""
    return gradients_of_batches(model, zip(samples.images.split(1), samples.labels.split(1), strict=True))


def share_found(suspicion: Tensor, is_wrong: Tensor) -> Tensor:
    """The share of all wrong labels that are among the 1, 2, ..., N most suspicious, (N,)."""
    return is_wrong[suspicion.argsort(descending=True)].cumsum(0) / is_wrong.sum()
