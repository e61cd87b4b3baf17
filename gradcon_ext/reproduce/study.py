"""What matters for the numbers, and what does not: the average, the constraint's weight, and which weights score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from gradcon_ext.reproduce.experiments import STRONG, Experiment
from gradcon_ext.reproduce.measuring import Metrics
from gradcon_ext.reproduce.records import Record, Records
from gradcon_ext.reproduce.splits import CIFAR10_LANCZOS
from gradcon_ext.reproduce.table import Row, Table
from gradcon_ext.reproduce.variants import AVERAGED, PUBLISHED, RENEWED

DATASETS = ("mnist", "cifar10")

_LOSSES = ("reconstruction", "gradient", "combined")


def _later_epochs(record: Record) -> list[Metrics]:
    return [metrics for epoch, metrics in record.by_epoch.items() if 2 * epoch > record.epochs]


def _best(record: Record, loss: str) -> list[float]:
    return [record.metric(loss)]


def _last(record: Record, loss: str) -> list[float]:
    return [record.by_epoch[max(record.by_epoch)][loss]]


def _each(record: Record, loss: str) -> list[float]:
    return [metrics[loss] for metrics in _later_epochs(record)]


def _variant(name: str) -> Callable[[Record, str], list[float]]:
    return lambda record, loss: [record.metric(loss, name)]


def _checkpoint(record: Record, loss: str) -> list[float]:
    """None of a record that was made before this was measured, or of a run that has not kept the epoch."""
    return [record.metric(loss, PUBLISHED)] if PUBLISHED in record.variants else []


Selection = Callable[[Record, str], list[float]]

_BEST = {"epoch with the best validation objective": _best}
_CHECKPOINT = {"checkpoint that the published code would test": _checkpoint}
_SELECTIONS: Mapping[str, Selection] = {
    **_BEST,
    "last epoch": _last,
    "any snapshot of the second half": _each,
    "weights and references averaged over those snapshots": _variant(AVERAGED),
    "best epoch, references recomputed at its weights": _variant(RENEWED),
}


@dataclass(frozen=True)
class Way:
    """A way to train, and the choices of weights that it is shown with.

    Attributes:
        label: of its rows.
        model: the recipe.
        selections: by what the rows say of them.
        substitutes: data sets that take the place of others.
    """

    label: str
    model: str
    selections: Mapping[str, Selection] = field(default_factory=lambda: _SELECTIONS)
    substitutes: Mapping[str, str] = field(default_factory=dict)

    def dataset(self, name: str) -> str:
        """The data set that is trained on for the columns of another."""
        return self.substitutes.get(name, name)


WAYS = (
    Way("average of the objective gradients", "cae-grad", {**_SELECTIONS, **_CHECKPOINT}),
    Way("shrunk by LANCZOS", "cae-grad", {**_BEST, **_CHECKPOINT}, {"cifar10": CIFAR10_LANCZOS}),
    Way("average of the primal gradients", "cae-grad-primal"),
    Way(STRONG, "cae-grad-strong"),
)


def study(records: Records, chosen: Mapping[str, Sequence[str]], seeds: int) -> Table:
    """Compare ways to train and choices of weights, AUROC averaged over the chosen classes of each data set.

    Args:
        records: of experiments with the models of `WAYS`.
        chosen: inlier classes by data set.
        seeds: how many.
    """
    rows = [
        Row(
            way.label,
            selection,
            [
                _over_classes(_by_seed(records, way, dataset, chosen[dataset], seeds), loss, pick)
                for dataset in DATASETS
                for loss in _LOSSES
            ],
        )
        for way in WAYS
        for selection, pick in way.selections.items()
    ]
    classes = "; ".join(f"{dataset}: {', '.join(names)}" for dataset, names in chosen.items())
    notes = (
        f"AUROC, mean over inlier classes ({classes}); ± is the standard deviation over {seeds} seeds, and of "
        '"any snapshot" over seeds and snapshots.',
        "The published code shrinks CIFAR-10 by LANCZOS, here it is BILINEAR; images of MNIST have their size already.",
        "The published code saves the model after epochs 1, 6, 11, ... and the last, where its validation objective is "
        "better than that of every epoch before, and tests what it saved last.",
        "A cell without a number has not been run.",
    )
    columns = [f"{dataset} {loss}" for dataset in DATASETS for loss in _LOSSES]
    return Table(
        "What matters: the average, the constraint's weight, shrinking, and the choice of weights",
        columns,
        rows,
        average=False,
        notes=notes,
    )


def _by_seed(records: Records, way: Way, dataset: str, names: Sequence[str], seeds: int) -> list[list[Record | None]]:
    return [
        [records.get(Experiment(way.dataset(dataset), way.model, name, seed).name) for name in names]
        for seed in range(seeds)
    ]


def _over_classes(by_seed: Sequence[Sequence[Record | None]], loss: str, pick: Selection) -> list[float]:
    """Means over the classes, of each seed whose records are all there."""
    means: list[float] = []
    for records in by_seed:
        complete = [record for record in records if record is not None]
        if len(complete) == len(records):
            # Runs of other lengths may have other numbers of snapshots.
            by_class = (pick(record, loss) for record in complete)
            means += [fmean(of_classes) for of_classes in zip(*by_class, strict=False)]
    return means
