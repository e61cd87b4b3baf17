"""Which tenth of a pool that is half wrong, or half something else, should a classifier be trained on?

    python -m benchmarks.examples.selection [--data-root DATA] [--out docs/examples/figures]

Two pools of 10,000 images: fashion-MNIST, of whose labels 40 % are wrong, and MNIST mixed with as much of fashion-MNIST
under the same ten labels. At hand are 200 images of what is wanted, with right labels. Each rule chooses 10, 20 and
30 %, on which a new classifier is trained; three seeds. A figure, tables of test accuracies, and one of how long the
pool takes to be scored.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor

from benchmarks.examples import markdown
from benchmarks.examples.dot_product_times import check_agreement, measure, table
from benchmarks.examples.labelled_images import Images, flipped, load
from benchmarks.examples.selection_figure import draw
from benchmarks.examples.selection_rules import RANDOM, chosen, class_references, ranked
from benchmarks.examples.small_classifier import accuracy, checkpoints, perceptron

POOL = 10_000
WANTED = 200
WRONG = 0.4
SHARES = (0.1, 0.2, 0.3)
SEEDS = 3
HIDDEN = 128
RATE, MOMENTUM = 0.05, 0.9
WARM_UP = (100, 200, 300)
STEPS = 300
KNOWN = "at random from the right ones, were they known"


@dataclass(frozen=True)
class Task:
    """A pool, which of it is of use, a few images of what is wanted, and test images."""

    pool: Images
    is_of_use: Tensor
    wanted: Images
    tests: Images


Accuracies = dict[tuple[str, float], list[float]]
"""By rule and share of the pool, one a seed."""


@dataclass
class Measured:
    """Of one kind of pool.

    Attributes:
        accuracies: on test images.
        of_use: how much of what is chosen is of use, by rule and share likewise.
    """

    accuracies: Accuracies = field(default_factory=lambda: defaultdict(list))
    of_use: Accuracies = field(default_factory=lambda: defaultdict(list))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=os.environ.get("GRADCON_DATA", "data"))
    parser.add_argument("--out", type=Path, default=Path("docs/examples/figures"))
    arguments = parser.parse_args()
    fashion, digits = (load(name, arguments.data_root) for name in ("fashion-mnist", "mnist"))
    found = {
        "40 % of labels are wrong": [with_wrong_labels(*fashion, seed) for seed in range(SEEDS)],
        "half is another data set": [mixed(*digits, fashion[0], seed) for seed in range(SEEDS)],
    }
    measured = {name: measure_rules(tasks) for name, tasks in found.items()}
    for name, some in measured.items():
        print(f"{name}\n\n{rules_table(some)}\n")
    arguments.out.mkdir(parents=True, exist_ok=True)
    draw({name: some.accuracies for name, some in measured.items()}, arguments.out / "selection.png")
    print(times(found["half is another data set"][0]))


def with_wrong_labels(train: Images, tests: Images, seed: int) -> Task:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(train), generator=generator)
    pool, wanted = train[order[:POOL]], train[order[POOL : POOL + WANTED]]
    labels, is_wrong = flipped(pool.labels, WRONG, generator)
    return Task(Images(pool.images, labels), ~is_wrong, wanted, tests)


def mixed(train: Images, tests: Images, others: Images, seed: int) -> Task:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(train), generator=generator)
    of_use, wanted = train[order[: POOL // 2]], train[order[POOL : POOL + WANTED]]
    rest = others[torch.randperm(len(others), generator=generator)[: POOL - POOL // 2]]
    pool = Images(torch.cat([of_use.images, rest.images]), torch.cat([of_use.labels, rest.labels]))
    return Task(pool, torch.arange(POOL) < POOL // 2, wanted, tests)


def measure_rules(tasks: list[Task]) -> Measured:
    measured = Measured()
    for seed, task in enumerate(tasks):
        warmed_up = checkpoints(
            perceptron(seed, HIDDEN),
            task.pool.images,
            task.pool.labels,
            WARM_UP,
            rate=RATE,
            momentum=MOMENTUM,
            seed=seed,
        )
        values = ranked(warmed_up, task.pool, task.wanted, torch.Generator().manual_seed(seed))
        values[KNOWN] = values[RANDOM] + task.is_of_use
        for share in SHARES:
            for rule, of_rule in values.items():
                numbers = chosen(of_rule, task.pool.labels, share)
                measured.of_use[rule, share].append(float(task.is_of_use[numbers].float().mean()))
                measured.accuracies[rule, share].append(accuracy_of_training_on(task.pool[numbers], task.tests, seed))
        for name, some, share in (
            (f"the {WANTED} wanted images alone", task.wanted, 0),
            ("the whole pool", task.pool, 1),
        ):
            measured.accuracies[name, share].append(accuracy_of_training_on(some, task.tests, seed))
    return measured


def accuracy_of_training_on(some: Images, tests: Images, seed: int) -> float:
    (trained,) = checkpoints(
        perceptron(SEEDS + seed, HIDDEN), some.images, some.labels, (STEPS,), rate=RATE, momentum=MOMENTUM, seed=seed
    )
    return accuracy(trained, tests.images, tests.labels)


def rules_table(measured: Measured) -> str:
    rules = dict.fromkeys(rule for rule, _ in measured.of_use)
    rows = [
        [
            rule,
            *(_told(measured.accuracies[rule, share]) for share in SHARES),
            f"{mean(measured.of_use[rule, SHARES[0]]):.0%}",
        ]
        for rule in rules
    ]
    rest = [f"{rule}: {_told(values)}" for (rule, _), values in measured.accuracies.items() if rule not in rules]
    heading = ["trained on", *(f"{share:.0%}" for share in SHARES), f"of use, at {SHARES[0]:.0%}"]
    return markdown.table(heading, rows) + "\n" + "; ".join(rest)


def _told(values: list[float]) -> str:
    """The mean, and half of the range."""
    return f"{mean(values):.3f} ± {(max(values) - min(values)) / 2:.3f}"


def times(task: Task) -> str:
    """A table of how long ten references and 512 images of the pool take."""
    model = perceptron(0, HIDDEN)
    references = class_references(model, task.wanted)
    images, labels = task.pool.images[:512], task.pool.labels[:512]
    check_agreement(model, references, images[:64], labels[:64])
    return table({len(next(iter(references.values()))): measure(model, references, images, labels, seconds=30)})


if __name__ == "__main__":
    main()
