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
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from torch import Tensor

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
)
from benchmarks.examples.markdown import table
from benchmarks.report.charts import BLUE, GREY, ORANGE, STYLE
from benchmarks.timing import Contender, Measurement, best, interleaved
from gradcon_ext import keep_freed_memory

BATCHES = (16, 64, 128)
NORMS, SUM = "norms", "clipped sum"
CHECKED = 8
"""Samples whose gradients are also differentiated by hand."""
_LINES = ((GRADCON, BLUE, "o"), (VMAP, GREY, "s"), (OPACUS, ORANGE, "^"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/examples/figures"), help="the folder of the figure")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--seconds", type=float, default=30, help="of each model; three rounds are made in any case")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    warnings.filterwarnings("ignore", "Full backward hook is firing")  # by Opacus, in each pass
    workloads = [Workload.autoencoder(28), Workload.autoencoder(64), Workload.resnet()]
    clippers = {one.name: {name: make(one) for name, make in CLIPPERS.items()} for one in workloads}
    print(table(["largest relative error", *CLIPPERS], [errors(one, clippers[one.name]) for one in workloads]))
    measured = {one.name: measure(one, clippers[one.name], arguments.seconds) for one in workloads}
    for question, names in ((NORMS, [GRADCON, VMAP, OPACUS]), (SUM, [GRADCON, TWO_PASSES, VMAP, OPACUS])):
        print(table([f"{question}, µs a sample", *names], [times(question, names, *one) for one in measured.items()]))
    rounds = ", ".join(str(one[0].rounds) for one in measured.values())
    print(f"{arguments.threads} threads, CPU, float32; {rounds} rounds")
    draw(measured, arguments.out / "privacy.png")


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


def draw(measured: Mapping[str, Sequence[Measurement]], path: Path) -> None:
    """A panel a model: the time of the norms over the batch, a line a clipper."""
    with pyplot.rc_context(STYLE):
        figure, panels = pyplot.subplots(1, len(measured), figsize=(9.6, 3.6), layout="constrained")
        for axes, (model, measurements) in zip(panels, measured.items(), strict=True):
            for name, colour, marker in _LINES:
                line = [(one.batch, one.microseconds) for one in measurements if one.name == f"{NORMS}: {name}"]
                axes.plot(*zip(*line, strict=True), color=colour, marker=marker, label=name, linewidth=2)
            axes.set_title(model, fontsize=11)
            axes.set_xscale("log")
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(FixedLocator(BATCHES))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axes.set_xlabel("batch")
        panels[0].set_ylabel("microseconds a sample")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle("Norms of single samples' gradients, over all parameters", fontsize=11)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        pyplot.close(figure)


if __name__ == "__main__":
    main()
