"""Which images of a pool to train on: rules that rank them, all from one pass over each checkpoint of a warm-up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.examples.dot_products import References, cosines
from benchmarks.examples.labelled_images import Images
from benchmarks.examples.small_classifier import CLASSES, gradients_of_batches, loss
from gradcon_ext import per_sample_alignment

RANDOM = "at random"
LARGEST_GRADIENT = "largest gradient"
LEAST_LOSS = "least loss"
ALIGNED = "alignment"
OF_THE_HALF = "at random from the better half"


def ranked(models: Sequence[nn.Module], pool: Images, wanted: Images, generator: torch.Generator) -> dict[str, Tensor]:
    """What each rule thinks of every image of the pool, higher for what is to be chosen, (N,).

    Args:
        models: checkpoints of a classifier that was trained on the pool for a short while.
        pool: what is chosen from.
        wanted: a few images of the kind that matters, with right labels.
        generator: of what is drawn at random.
    """
    losses, gradient_norms, alignments = [], [], []
    for model in models:
        references = class_references(model, wanted)
        alignment = per_sample_alignment(model, loss, pool.images, references, pool.labels)
        dots, sq_norms = sum(alignment.dot.values()), sum(alignment.sq_norm.values())
        losses.append(alignment.loss)
        gradient_norms.append(sq_norms.sqrt())
        alignments.append(cosines((dots, sq_norms), references))
    random = torch.rand(len(pool), generator=generator)
    by_loss, by_alignment = -sum(losses), sum(alignments).amax(1)
    return {
        RANDOM: random,
        LARGEST_GRADIENT: sum(gradient_norms),
        LEAST_LOSS: by_loss,
        ALIGNED: by_alignment,
        f"{LEAST_LOSS}, {OF_THE_HALF}": random + is_among(chosen(by_loss, pool.labels, 0.5), len(pool)),
        f"{ALIGNED}, {OF_THE_HALF}": random + is_among(chosen(by_alignment, pool.labels, 0.5), len(pool)),
    }


def class_references(model: nn.Module, wanted: Images) -> References:
    """The mean gradient of each class."""
    return gradients_of_batches(
        model, ((wanted.images[some], wanted.labels[some]) for some in map(wanted.labels.eq, range(CLASSES)))
    )


def chosen(values: Tensor, labels: Tensor, share: float) -> Tensor:
    """The share of each label with the highest values: numbers of samples."""
    kept = []
    for label in labels.unique():
        (of_label,) = (labels == label).nonzero(as_tuple=True)
        kept.append(of_label[values[of_label].topk(round(share * len(of_label))).indices])
    return torch.cat(kept)


def is_among(numbers: Tensor, count: int) -> Tensor:
    """Which of `count` samples these are, (count,)."""
    return torch.zeros(count, dtype=torch.bool).index_fill(0, numbers, True)
