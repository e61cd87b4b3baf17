"""How long dot products with K references take, each way of `dot_products` at its best batch and layout in memory."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

import gradcon_ext
from benchmarks.examples import dot_products, markdown
from benchmarks.examples.dot_products import References
from benchmarks.examples.small_classifier import loss
from benchmarks.timing import Contender, Measurement, best, interleaved

OURS = "`per_sample_alignment`"
VMAP = "`torch.func`: `vmap(grad)`, then a matrix product"
HOOKS = "hooks, `unfold` and `bmm`, written for these layers"
BATCH = "torch's gradient of the batch alone, for scale"

RUNS = {
    OURS: (dot_products.ours, (256, 512)),
    VMAP: (dot_products.vmap_grad, (32, 64, 128, 256)),
    HOOKS: (dot_products.hooks, (32, 64, 128, 256)),
}
ROUNDS = 7


def measure(
    model: nn.Module, references: References, images: Tensor, labels: Tensor, seconds: float
) -> list[Measurement]:
    """Measure every way at all its settings, in turn, and keep the best of each."""
    contenders = []
    for layout, memory_format in (("", torch.contiguous_format), ("channels last", torch.channels_last)):
        there = deepcopy(model).to(memory_format=memory_format), images.to(memory_format=memory_format)
        contenders += [
            Contender(name, batch, len(images), partial(run, there[0], references, there[1], labels, batch), layout)
            for name, (run, batches) in RUNS.items()
            for batch in batches
        ]
        gradient = partial(gradient_of_batch, *there, labels)
        contenders.append(Contender(BATCH, len(images), len(images), gradient, layout))
    gradcon_ext.keep_freed_memory()
    measured = interleaved(contenders, ROUNDS, seconds)
    return [best(measured, name) for name in (OURS, VMAP, HOOKS, BATCH)]


def check_agreement(model: nn.Module, references: References, images: Tensor, labels: Tensor) -> None:
    """Raise AssertionError unless all give the same dots and squared norms, to what float32 holds."""
    in_float64 = {name: reference.double() for name, reference in references.items()}
    expected = dot_products.vmap_grad(deepcopy(model).double(), in_float64, images.double(), labels, batch=32)
    for run, _ in RUNS.values():
        for found, right in zip(run(model, references, images, labels, batch=32), expected, strict=True):
            torch.testing.assert_close(found.double(), right, rtol=1e-4, atol=1e-5 * float(right.abs().max()))


def gradient_of_batch(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    torch.autograd.grad(loss(model(images), labels).sum(), list(model.parameters()))


def table(measured: dict[int, list[Measurement]]) -> str:
    """Microseconds a sample and the ratio to ours, for each number of references K."""
    rows = [
        [str(count), one.name, one.setting, f"{one.microseconds:.0f}", f"{one.seconds / bests[0].seconds:.2f}"]
        for count, bests in measured.items()
        for one in bests
    ]
    told = f"{gradcon_ext.build_info()}, {torch.get_num_threads()} threads"
    return f"{markdown.table(['K', 'what', 'best at', 'µs a sample', 'of ours'], rows)}\n{told}"
