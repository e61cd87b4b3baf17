"""Which training images made a classifier say what it says, and which of their labels are wrong?

    python -m benchmarks.examples.influence [--data-root DATA] [--out docs/examples/figures]

TracInCP (Pruthi, Liu, Kale and Sundararajan, 2020) on 10,000 images of MNIST, of which a tenth has a wrong label: a
figure, a table of what it finds, and one of how long the dot products take.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.examples import markdown
from benchmarks.examples.dot_product_times import check_agreement, measure, table
from benchmarks.examples.influence_figure import draw
from benchmarks.examples.labelled_images import Images, flipped, load
from benchmarks.examples.small_classifier import accuracy, checkpoints, convolutional
from benchmarks.examples.tracin import Influence, influence_of, references_of, share_found

TRAINED_ON = 10_000
WRONG = 0.1
RATE = 0.05
AFTER = (500, 1500, 3000)
OF_EACH_KIND = 8
"""Test images that the last checkpoint gets right, and as many that it gets wrong."""
LOOKED_AT = (0.05, 0.1, 0.15, 0.2, 0.3)
TIMED = (1, 2 * OF_EACH_KIND, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=os.environ.get("GRADCON_DATA", "data"))
    parser.add_argument("--out", type=Path, default=Path("docs/examples/figures"))
    arguments = parser.parse_args()
    everything, tests = load("mnist", arguments.data_root)
    generator = torch.Generator().manual_seed(0)
    train = everything[torch.randperm(len(everything), generator=generator)[:TRAINED_ON]]
    labels, is_wrong = flipped(train.labels, WRONG, generator)
    models = checkpoints(convolutional(0, width=16), train.images, labels, AFTER, rate=RATE, batch=32)
    asked = right_and_wrong(models[-1], tests)
    influence = influence_of(models, RATE, Images(train.images, labels), asked)
    print(f"Test accuracy {accuracy(models[-1], tests.images, tests.labels):.3f}\n")
    print(found_table(influence, is_wrong))
    print(neighbours_table(influence, is_wrong))
    shown = (0, 1, OF_EACH_KIND, OF_EACH_KIND + 1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    draw(influence, train, labels, is_wrong, asked, shown, arguments.out / "influence.png")
    print(times(models[-1], Images(train.images, labels), everything))


def right_and_wrong(model: nn.Module, tests: Images) -> Images:
    """The first test images that a model gets right, then the first that it gets wrong."""
    with torch.no_grad():
        is_right = model(tests.images).argmax(1) == tests.labels
    which = [kind.nonzero()[:OF_EACH_KIND, 0] for kind in (is_right, ~is_right)]
    return tests[torch.cat(which)]


def found_table(influence: Influence, is_wrong: Tensor) -> str:
    ways = {"self-influence": influence.on_itself, "loss": influence.loss}
    curves = [share_found(suspicion, is_wrong) for suspicion in ways.values()]
    rows = []
    for share in LOOKED_AT:
        last = round(share * len(is_wrong)) - 1
        rows.append([f"{share:.0%}", *(f"{float(curve[last]):.0%}" for curve in curves), f"{share:.0%}"])
    return markdown.table(["looked at", *ways, "at random"], rows)


def neighbours_table(influence: Influence, is_wrong: Tensor, count: int = 10) -> str:
    """Of the strongest proponents and opponents, how many have wrong labels."""
    kinds = {"predicted right": slice(OF_EACH_KIND), "predicted wrong": slice(OF_EACH_KIND, None)}
    rows = []
    for name, kind in kinds.items():
        for way, on_tests in (("influence", influence.on_tests), ("cosine", influence.cosine)):
            sides = on_tests[:, kind], -on_tests[:, kind]
            shares = [float(is_wrong[side.topk(count, dim=0).indices].float().mean()) for side in sides]
            rows.append([name, way, *(f"{share:.0%}" for share in shares)])
    heading = ["test images", "by", "proponents with a wrong label", "opponents with a wrong label"]
    return markdown.table(heading, rows)


def times(model: nn.Module, train: Images, others: Images) -> str:
    """A table of how long the dots of 512 images take, with few references and many."""
    some = train[:512]
    measured = {}
    for count in TIMED:
        references = references_of(model, others[:count])
        check_agreement(model, references, some.images[:64], some.labels[:64])
        measured[count] = measure(model, references, some.images, some.labels, seconds=30)
    return table(measured)


if __name__ == "__main__":
    main()
