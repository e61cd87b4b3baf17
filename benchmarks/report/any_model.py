"""The any-model path beside torch's forward and backward pass, for the autoencoder and a residual classifier."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import scorers
from benchmarks.report.comparison import Comparison
from benchmarks.report.effort import Effort
from benchmarks.report.measure import FORWARD_BACKWARD, Layouts, ours, theirs_in
from benchmarks.resnet import resnet18, resnet18_of_large_images
from benchmarks.timing import Contender, best, interleaved
from gradcon_ext import per_sample_alignment

AUTOENCODERS = {28: (256, (64, 256)), 64: (64, (16, 64)), 128: (32, (8, 32)), 256: (8, (4, 8))}
"""How many images of each size, and in what batches."""

RESNETS: dict[int, tuple[Callable[[], nn.Sequential], int, tuple[int, ...]]] = {
    32: (resnet18, 32, (16, 32)),
    224: (resnet18_of_large_images, 8, (2, 8)),
}
"""The classifier for images of each size, how many of them, and in what batches."""


def costs(effort: Effort) -> list[Comparison]:
    """Of all models and sizes, each contender at its best of layouts and batches."""
    return [_of_autoencoder(size, effort) for size in AUTOENCODERS] + [_of_resnet(size, effort) for size in RESNETS]


def _of_autoencoder(size: int, effort: Effort) -> Comparison:
    samples, batches = AUTOENCODERS[size]
    layouts = Layouts(size, samples=samples)
    contenders = [ours(workload, scorers.ANY_MODEL, batch) for _, workload in layouts for batch in batches]
    contenders += theirs_in(layouts, FORWARD_BACKWARD, batches)
    return _cost("autoencoder", size, contenders, scorers.ANY_MODEL, effort)


def _of_resnet(size: int, effort: Effort) -> Comparison:
    contenders = []
    for layout, memory_format in (("", torch.contiguous_format), ("channels last", torch.channels_last)):
        contenders += _of_layout(size, layout, memory_format)
    return _cost("ResNet-18", size, contenders, _ALIGNMENT, effort)


_ALIGNMENT = "gradcon_ext.per_sample_alignment"


def _of_layout(size: int, layout: str, memory_format: torch.memory_format) -> list[Contender]:
    """All convolution weights are constrained, by random references."""
    build, samples, batches = RESNETS[size]
    torch.manual_seed(0)
    model = build().eval().to(memory_format=memory_format)
    weights = {name: weight for name, weight in model.named_parameters() if weight.dim() == 4}
    references = {name: torch.randn_like(weight) for name, weight in weights.items()}
    images = torch.rand(samples, 3, size, size).to(memory_format=memory_format)
    labels = torch.randint(0, 10, (samples,))

    def align(batch: int) -> None:
        per_sample_alignment(model, _loss, images, references, labels, batch_size=batch)

    def differentiate(batch: int) -> None:
        for some, their_labels in zip(images.split(batch), labels.split(batch), strict=True):
            torch.autograd.grad(_loss(model(some), their_labels).sum(), list(weights.values()))

    return [
        contender
        for batch in batches
        for contender in (
            Contender(_ALIGNMENT, batch, samples, partial(align, batch), layout),
            Contender(FORWARD_BACKWARD, batch, samples, partial(differentiate, batch), layout),
        )
    ]


def _loss(output: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(output, labels, reduction="none")


def _cost(model: str, size: int, contenders: list[Contender], name: str, effort: Effort) -> Comparison:
    measured = interleaved(contenders, effort.rounds, effort.seconds / 8)
    return Comparison(model, size, best(measured, name), best(measured, FORWARD_BACKWARD))
