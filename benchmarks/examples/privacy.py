"""How long do clipped gradients take? The tables and the figure of docs/examples/privacy.md.

    python -m benchmarks.examples.privacy [--out docs/examples/figures]

Norms of single samples' gradients over all parameters, and the sum of the gradients clipped by them: ours, by
`torch.func.vmap(grad)`, and by Opacus, each at its best batch. Opacus is no dependency of this package; of what it
needs, opt-einsum alone is not here already: `pip install --no-deps opacus opt-einsum`.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import torch
from matplotlib import pyplot
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import THREADS
from benchmarks.examples.clipping import (
    CLIPPERS,
    GRADCON,
    OPACUS,
    TWO_PASSES,
    VMAP,
    ByHand,
    Clipper,
    Sums,
    Workload,
    together,
)
from benchmarks.examples.markdown import table
from benchmarks.report.charts import BLUE, GREY, ORANGE, STYLE
from benchmarks.timing import Contender, Measurement, best, interleaved
from gradcon_ext import clipped_gradient_sum, gradient_norms, keep_freed_memory
from gradcon_ext.data import load

BATCHES = (16, 32, 64)
NORMS, SUM = "norms", "clipped sum"
CHECKED = 8
"""Samples whose gradients are also differentiated by hand."""
STEPS = (0, 10, 40)
BOUND, NOISE, EXPECTED = 1.0, 0.8, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/examples/figures"), help="the folder of the figure")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--seconds", type=float, default=30, help="of each model; three rounds are made in any case")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    warnings.filterwarnings("ignore", "Full backward hook is firing")  # by Opacus, in each pass
    draw(norms_in_training(), arguments.out / "privacy.png")
    workloads = [Workload.autoencoder(28), Workload.autoencoder(64), Workload.resnet()]
    clippers = {one.name: {name: make(one) for name, make in CLIPPERS.items()} for one in workloads}
    print(table(["largest relative error", *CLIPPERS], [errors(one, clippers[one.name]) for one in workloads]))
    measured = {one.name: measure(one, clippers[one.name], arguments.seconds) for one in workloads}
    for question, names in ((NORMS, [GRADCON, VMAP, OPACUS]), (SUM, [GRADCON, TWO_PASSES, VMAP, OPACUS])):
        print(table([f"{question}, µs a sample", *names], [times(question, names, *one) for one in measured.items()]))
    rounds = ", ".join(str(one[0].rounds) for one in measured.values())
    print(f"{arguments.threads} threads, CPU, float32; {rounds} rounds")


def errors(workload: Workload, clippers: Mapping[str, Clipper]) -> list[str]:
    """A row of the largest error of a norm, and that of the clipped sum, relative to what is got by hand."""
    some = workload.inputs[:CHECKED], workload.targets[:CHECKED]
    exact = ByHand(workload)
    norms = exact.norms(*some)
    bound = float(norms.median())  # some are clipped, and some are not
    total = flat(exact.clipped_sum(*some, bound))
    cells = []
    for clipper in clippers.values():
        of_norms = ((clipper.norms(*some) - norms) / norms).abs().max()
        of_sum = (flat(clipper.clipped_sum(*some, bound)) - total).norm() / total.norm()
        cells.append(f"{of_norms:.0e}, {of_sum:.0e}")
    return [workload.name, *cells]


def flat(sums: Sums) -> Tensor:
    return torch.cat([total.flatten() for total in sums.values()])


def measure(workload: Workload, clippers: Mapping[str, Clipper], seconds: float) -> list[Measurement]:
    """Norms alone, and the clipped sum, by all clippers with all batches, in turn."""
    bound = float(clippers[GRADCON].norms(workload.inputs, workload.targets).median())
    contenders = []
    for (name, clipper), batch in product(clippers.items(), BATCHES):
        runs: dict[str, Callable[[Tensor, Tensor], object]] = {SUM: partial(clipper.clipped_sum, bound=bound)}
        if name != TWO_PASSES:  # whose norms are ours
            runs[NORMS] = clipper.norms
        for question, run in runs.items():
            call = partial(in_batches, run, workload, batch)
            contenders.append(Contender(f"{question}: {name}", batch, len(workload.inputs), call))
    return interleaved(contenders, rounds=7, seconds=seconds)


def in_batches(run: Callable[[Tensor, Tensor], object], workload: Workload, batch: int) -> None:
    for inputs, targets in zip(workload.inputs.split(batch), workload.targets.split(batch), strict=True):
        run(inputs, targets)


def times(question: str, names: Sequence[str], model: str, measurements: Sequence[Measurement]) -> list[str]:
    """A row: each at its best batch, and of the others the share of their time that the first takes."""
    ours, *others = (best(measurements, f"{question}: {name}") for name in names)
    shares = [f"{one.microseconds:.0f} ({ours.microseconds / one.microseconds:.2f})" for one in others]
    return [model, f"{ours.microseconds:.0f}", *shares]


def norms_in_training(steps: Sequence[int] = STEPS) -> dict[int, Tensor]:
    """Norms of the gradients of all training digits after so many private steps, as the page takes them."""
    digits = load("digits").train
    images, labels = torch.as_tensor(digits.images).float() / 255, torch.as_tensor(digits.labels)
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU()]
    classifier = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(classifier.parameters(), lr=1.0)
    loss = partial(functional.cross_entropy, reduction="none")
    found = {}
    for step in range(max(steps) + 1):
        if step in steps:
            found[step] = together(gradient_norms(classifier, loss, images, targets=labels))
        drawn = torch.rand(len(images)) < EXPECTED / len(images)
        sums = clipped_gradient_sum(classifier, loss, images[drawn], BOUND, targets=labels[drawn], batch_size=32)
        for name, parameter in classifier.named_parameters():
            parameter.grad = (sums[name] + NOISE * BOUND * torch.randn_like(parameter)) / EXPECTED
        optimizer.step()
    return found


def draw(norms: Mapping[int, Tensor], path: Path) -> None:
    """The distribution of the norms after each number of steps, and the bound."""
    edges = torch.logspace(-2.5, 2.5, 75).numpy()
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(8.4, 3.6), layout="constrained")
        for (step, some), colour in zip(norms.items(), (GREY, ORANGE, BLUE), strict=False):
            label = f"after {step} steps: {(some > BOUND).float().mean():.0%} are clipped"
            axes.hist(some.clamp(edges[0], edges[-1]).numpy(), edges, color=colour, alpha=0.55, label=label)
        axes.axvline(BOUND, color="black", linestyle=":")
        axes.set_xscale("log")
        axes.set_xlabel(f"norm of a sample's gradient over all parameters; the dotted line is the bound, {BOUND:g}")
        axes.set_ylabel("digits")
        axes.legend(frameon=False, loc="upper left")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        pyplot.close(figure)


if __name__ == "__main__":
    main()
