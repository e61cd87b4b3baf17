"""Tables 1 to 4 of the paper: which rows they have, and which experiments these need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradcon_ext.reproduce.baselines.anogan import MOST_STEPS, STEPS_PER_EPOCH
from gradcon_ext.reproduce.experiments import STRONG, Experiment
from gradcon_ext.reproduce.measuring import OUTLIER_PERCENT
from gradcon_ext.reproduce.published import published, published_row
from gradcon_ext.reproduce.records import Record, Records
from gradcon_ext.reproduce.table import Row, Table
from gradcon_ext.reproduce.variants import AVERAGED


@dataclass(frozen=True)
class Measured:
    """A row that is measured.

    Attributes:
        label: of the row; where it is published, as in `published.json`.
        model: one of the recipes, or a baseline.
        metric: of its records.
        variant: of a run, by its name in `gradcon_ext.reproduce.variants`; by default the detector of the best epoch.
        published: whether the paper has such a row.
    """

    label: str
    model: str
    metric: str
    variant: str | None = None
    published: bool = True


@dataclass(frozen=True)
class Design:
    """What a table by classes is made of.

    Attributes:
        title: of the table.
        dataset: that it is measured on.
        rows: in order.
        notes: below the table.
    """

    title: str
    dataset: str
    rows: Sequence[Measured]
    notes: Sequence[str] = ()


_BALANCED = "balanced score"


def _detectors(loss_of_vae: str) -> tuple[Measured, ...]:
    """Rows of Tables 2 and 3, in their order."""
    return (
        Measured("OCSVM", "ocsvm", "score"),
        Measured("KDE", "kde", "score"),
        Measured("DAE", "dae", "score"),
        Measured("VAE", "vae", loss_of_vae),
        Measured("PixelCNN", "pixelcnn", "score"),
        Measured("GAN", "gan", "score"),
        Measured("AND", "and", "score"),
        Measured("AnoGAN", "anogan", "score"),
        Measured("DSVDD", "dsvdd", "score"),
        Measured("OCGAN", "ocgan", "score"),
        Measured("GradCon", "cae-grad", "combined"),
        Measured("GradCon, averaged weights", "cae-grad", "combined", AVERAGED, published=False),
        Measured(f"GradCon, {STRONG}", "cae-grad-strong", "combined", published=False),
        Measured(_BALANCED, "cae-lead-in-balanced", "balanced", published=False),
    )


_ALPHA_NOTE = "Alpha, the weight of the constraint in training, is the paper's 0.03 unless a row says otherwise."
_BALANCED_NOTE = (
    "The balanced score weighs code, gradient and reconstruction on the scale of held-out inliers, after 10 epochs "
    "without the constraint and 15 of a new decoder with it; no outlier has a part in it."
)
_LAST_EPOCH_NOTE = "GAN, AnoGAN and DSVDD have no such objective: their last epoch counts."
_ANOGAN_NOTE = f"AnoGAN searches in {STEPS_PER_EPOCH} steps for each epoch of training, up to the paper's {MOST_STEPS}."
_COMMON_NOTES = (
    "Ours is mean ± standard deviation over seeds. Each seed has its own split, first weights and order of images; "
    "after a dead start, weights and order are those of a following seed.",
    "Of each run the epoch with the best validation objective counts; test images have no part in the choice.",
    '"Averaged weights" are those of the snapshots of the second half of the epochs, and so are their references.',
    _ALPHA_NOTE,
)

DESIGNS = {
    "table1": Design(
        "Table 1: AUROC of activations and gradients, CIFAR-10",
        "cifar10",
        (
            Measured("CAE, reconstruction", "cae", "reconstruction"),
            Measured("CAE + Grad, reconstruction", "cae-grad", "reconstruction"),
            Measured("CAE + Grad, gradient", "cae-grad", "gradient"),
            Measured(f"CAE + Grad, {STRONG}, reconstruction", "cae-grad-strong", "reconstruction", published=False),
            Measured(f"CAE + Grad, {STRONG}, gradient", "cae-grad-strong", "gradient", published=False),
            Measured("VAE, reconstruction", "vae", "reconstruction"),
            Measured("VAE, latent", "vae", "latent"),
            Measured("VAE + Grad, reconstruction", "vae-grad", "reconstruction"),
            Measured("VAE + Grad, latent", "vae-grad", "latent"),
            Measured("VAE + Grad, gradient", "vae-grad", "gradient"),
        ),
        _COMMON_NOTES,
    ),
    "table2": Design(
        "Table 2: AUROC of anomaly detectors, CIFAR-10",
        "cifar10",
        _detectors("latent"),
        (
            *_COMMON_NOTES,
            _LAST_EPOCH_NOTE,
            _ANOGAN_NOTE,
            _BALANCED_NOTE,
            "VAE is its latent loss, as in the paper, whose row is that of Table 1.",
        ),
    ),
    "table3": Design(
        "Table 3: AUROC of anomaly detectors, MNIST",
        "mnist",
        _detectors("primal"),
        (*_COMMON_NOTES, _LAST_EPOCH_NOTE, _ANOGAN_NOTE, _BALANCED_NOTE, "VAE is its negative evidence lower bound."),
    ),
}

TABLE4_DATA = "fashion-mnist"
TABLE4_MODELS = {
    "GPND": ("gpnd", ""),
    "GradCon": ("cae-grad", ""),
    f"GradCon, {STRONG}": ("cae-grad-strong", ""),
    _BALANCED: ("cae-lead-in-balanced", "balanced "),
}
"""Of each row that is measured the recipe or baseline, and what the names of its metrics begin with."""


def models_of(table: str) -> list[str]:
    """Names of the recipes and baselines that a table needs, each once."""
    if table == "table4":
        return [model for model, _ in TABLE4_MODELS.values()]
    return list(dict.fromkeys(row.model for row in DESIGNS[table].rows))


def dataset_of(table: str) -> str:
    """The data set that a table is measured on."""
    return TABLE4_DATA if table == "table4" else DESIGNS[table].dataset


def table_by_classes(
    name: str, records: Records, class_names: Sequence[str], chosen: Sequence[str], seeds: int
) -> Table:
    """Set what has been recorded beside what was published.

    Args:
        name: "table1", "table2" or "table3".
        records: of experiments.
        class_names: of the data set, in its order.
        chosen: those that the table is to have.
        seeds: how many.
    """
    design = DESIGNS[name]
    columns = [class_names.index(each) for each in chosen]
    rows: list[Row] = []
    for row in design.rows:
        rows.append(_measured(row, design.dataset, records, chosen, seeds))
        if row.published:
            metrics = published_row(name, row.label)
            rows.append(Row(row.label, "paper", [[metrics[column]] for column in columns]))
    return Table(design.title, chosen, rows, notes=design.notes)


def table4(records: Records, chosen: Sequence[str], folds: int) -> Table:
    """F1 and AUROC by the share of outliers, averaged over the inlier classes, fashion-MNIST (Table 4)."""
    rows: list[Row] = []
    paper = published()["table4"]
    measured = {
        label: (_complete_folds(records, model, chosen, folds), prefix)
        for label, (model, prefix) in TABLE4_MODELS.items()
    }
    for metric, key in (("F1", "f1"), ("AUROC", "auroc")):
        for label in ("GPND", "GradCon"):
            rows.append(Row(f"{metric}, {label}", "paper", [[value] for value in paper[label][key]]))
        for label, (complete, prefix) in measured.items():
            values = [
                [
                    sum(record.metric(f"{prefix}{key} at {percent} %") for record in fold) / len(fold)
                    for fold in complete
                ]
                for percent in OUTLIER_PERCENT
            ]
            source = _source([record for fold in complete for record in fold])
            if complete:
                source += f", {len(complete)} fold{'s' if len(complete) > 1 else ''}"
            rows.append(Row(f"{metric}, {label}", source, values))
    notes = (
        f"Mean over {len(chosen)} inlier classes; ours is mean ± standard deviation over folds, of five.",
        "Inliers are the positive class of F1. Its threshold is the best one on the validation fold with the same "
        "share of outliers; test images have no part in it.",
        "Of GPND the last epoch counts, of each other run the one with the best validation objective.",
        _ALPHA_NOTE,
        _BALANCED_NOTE,
    )
    title = "Table 4: F1 and AUROC by the share of outliers in the test set, fashion-MNIST"
    return Table(title, [f"{percent} %" for percent in OUTLIER_PERCENT], rows, average=False, notes=notes)


def _complete_folds(records: Records, model: str, chosen: Sequence[str], folds: int) -> list[list[Record]]:
    """The records of all classes, of each fold that has them."""
    of_folds = [
        [records.get(Experiment(TABLE4_DATA, model, name, fold).name) for name in chosen] for fold in range(folds)
    ]
    return [[record for record in fold if record is not None] for fold in of_folds if None not in fold]


def _measured(row: Measured, dataset: str, records: Records, chosen: Sequence[str], seeds: int) -> Row:
    by_class = [
        _up_to_a_gap([records.get(Experiment(dataset, row.model, name, seed).name) for seed in range(seeds)])
        for name in chosen
    ]
    values = [[record.metric(row.metric, row.variant) for record in of_class] for of_class in by_class]
    return Row(row.label, _source([record for of_class in by_class for record in of_class]), values)


def _up_to_a_gap(of_seeds: Sequence[Record | None]) -> list[Record]:
    """Take the records of the first seeds, so that the same place is the same seed in every class."""
    present = []
    for record in of_seeds:
        if record is None:
            break
        present.append(record)
    return present


def _source(records: Sequence[Record]) -> str:
    """Say how much was trained: epochs differ where runs of several lengths are put together."""
    if not records:
        return "ours, not run yet"
    epochs = sorted({record.epochs for record in records} - {0})
    return f"ours, {' or '.join(map(str, epochs))} epochs" if epochs else "ours"
