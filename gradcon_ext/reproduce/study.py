"""What matters for the numbers, and what does not: the average, the constraint's weight, and which weights score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from gradcon_ext.reproduce.experiments import STRONG, Experiment
from gradcon_ext.reproduce.measuring import Metrics
from gradcon_ext.reproduce.records import Record, Records
from gradcon_ext.reproduce.table import Row, Table
from gradcon_ext.reproduce.variants import AVERAGED, RENEWED

DATASETS = ("mnist", "cifar10")
MODELS = {
    "average of the objective gradients": "cae-grad",
    "average of the primal gradients": "cae-grad-primal",
    STRONG: "cae-grad-strong",
}
"""The recipe of each way to train."""

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


_SELECTIONS: Mapping[str, Callable[[Record, str], list[float]]] = {
    "epoch with the best validation objective": _best,
    "last epoch": _last,
    "any snapshot of the second half": _each,
    "weights and references averaged over those snapshots": _variant(AVERAGED),
    "best epoch, references recomputed at its weights": _variant(RENEWED),
}


def study(records: Records, chosen: Mapping[str, Sequence[str]], seeds: int) -> Table:
    """Compare ways to train and choices of weights, AUROC averaged over the chosen classes of each data set.

    Args:
        records: of experiments with the models of `MODELS`.
        chosen: inlier classes by data set.
        seeds: how many.
    """
    rows = []
    for label, model in MODELS.items():
        for selection, pick in _SELECTIONS.items():
            values = [
                _over_classes(
                    [
                        [records.get(Experiment(dataset, model, name, seed).name) for name in chosen[dataset]]
                        for seed in range(seeds)
                    ],
                    loss,
                    pick,
                )
                for dataset in DATASETS
                for loss in _LOSSES
            ]
            rows.append(Row(label, selection, values))
    classes = "; ".join(f"{dataset}: {', '.join(names)}" for dataset, names in chosen.items())
    notes = (
        f"AUROC, mean over inlier classes ({classes}); ± is the standard deviation over {seeds} seeds, and of "
        '"any snapshot" over seeds and snapshots.',
    )
    columns = [f"{dataset} {loss}" for dataset in DATASETS for loss in _LOSSES]
    return Table(
        "What matters: the average, the constraint's weight, and the choice of weights",
        columns,
        rows,
        average=False,
        notes=notes,
    )


def _over_classes(
    by_seed: Sequence[Sequence[Record | None]], loss: str, pick: Callable[[Record, str], list[float]]
) -> list[float]:
    """Means over the classes, of each seed whose records are all there."""
    means: list[float] = []
    for records in by_seed:
        complete = [record for record in records if record is not None]
        if len(complete) == len(records):
            # Runs of other lengths may have other numbers of snapshots.
            by_class = (pick(record, loss) for record in complete)
            means += [fmean(of_classes) for of_classes in zip(*by_class, strict=False)]
    return means
