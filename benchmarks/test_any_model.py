"""How long does the alignment of a residual classifier take, all convolution weights constrained? How much memory?"""

from __future__ import annotations

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.resnet import resnet18
from gradcon_ext import per_sample_alignment

QUESTION = "per-sample alignment of a ResNet-18, 32x32, all convolution weights, random references"
BATCH = 64


def workload(layout: torch.memory_format):
    """Build the model, its references, images and labels; model and images with that layout in memory."""
    torch.manual_seed(0)
    model = resnet18().eval()
    references = {name: torch.randn_like(weight) for name, weight in model.named_parameters() if weight.dim() == 4}
    images, labels = torch.rand(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))
    return model.to(memory_format=layout), references, images.to(memory_format=layout), labels


@pytest.fixture
def classifier():
    return workload(torch.contiguous_format)


def loss(output: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(output, labels, reduction="none")


def by_vmap(model: nn.Module, references: dict[str, Tensor], images: Tensor, labels: Tensor, chunk: int) -> Tensor:
    """Mean cosines (N,) by `torch.func.vmap(grad)`."""
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    constrained = {name: weights.pop(name) for name in references}

    def sample_loss(varied: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        output = torch.func.functional_call(model, {**weights, **varied}, (image[None],))
        return loss(output, label[None]).sum()

    gradients_of = torch.func.vmap(torch.func.grad(sample_loss), in_dims=(None, 0, 0))
    means = []
    for some, their_labels in zip(images.split(chunk), labels.split(chunk), strict=True):
        gradients = gradients_of(constrained, some, their_labels)
        cosines = [
            functional.cosine_similarity(gradients[name].flatten(1), reference.flatten()[None])
            for name, reference in references.items()
        ]
        means.append(torch.stack(cosines).mean(0))
    return torch.cat(means)


def ours(model: nn.Module, references: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
    alignment = per_sample_alignment(model, loss, images, references, labels, batch_size=32)
    return torch.stack(list(alignment.cosine.values())).mean(0)


def forward_and_backward(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """An ordinary gradient of the batch, for scale."""
    torch.autograd.grad(loss(model(images), labels).sum(), list(model.parameters()))


@pytest.mark.parametrize("chunk", [1, 2, 4, 8])
def test_resnet_against_vmap_grad(compare, classifier, chunk) -> None:
    """Each in the layout that is best for it: `channels_last` makes `vmap(grad)` no faster."""
    model, references, images, labels = classifier
    in_channels_last = workload(torch.channels_last)
    few = by_vmap(model, references, images[:4], labels[:4], chunk)
    torch.testing.assert_close(few, ours(*in_channels_last)[:4], rtol=1e-3, atol=1e-4)
    ratio = compare(
        partial(ours, *in_channels_last),
        partial(by_vmap, model, references, images, labels, chunk),
        question=QUESTION,
        name="gradcon_ext.per_sample_alignment, channels_last, 32 at a time",
        baseline_name=f"torch.func.vmap(grad), {chunk} at a time",
        samples=BATCH,
        rounds=5,
    )
    assert ratio <= 1 / 3


def test_resnet_against_a_gradient_of_the_batch(compare, classifier) -> None:
    model, references, images, labels = classifier
    compare(
        partial(ours, model, references, images, labels),
        partial(forward_and_backward, model, images, labels),
        question=QUESTION,
        name="gradcon_ext.per_sample_alignment, contiguous, 32 at a time",
        baseline_name="torch's gradient of the batch",
        samples=BATCH,
        rounds=3,
    )


def memory_beyond_a_forward_pass() -> tuple[float, float]:
    """Peak memory of this process over that of a forward pass with its activations kept, and that of all gradients."""
    model, references, images, labels = workload(torch.contiguous_format)
    loss(model(images), labels)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    per_sample_alignment(model, loss, images, references, labels, batch_size=BATCH)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    gradients = BATCH * sum(reference.numel() for reference in references.values()) * 4
    return grown / 2**10, gradients / 2**20


def test_memory() -> None:
    """It grows by far less than the gradients of all samples would take."""
    # In a process of its own, whose peak no other test has lifted.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        grown, gradients = pool.submit(memory_beyond_a_forward_pass).result()
    print(f"\npeak memory beyond a forward pass: {grown:.0f} MiB; all samples' gradients: {gradients:.0f} MiB")
    assert grown < gradients / 4
