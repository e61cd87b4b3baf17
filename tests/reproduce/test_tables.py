from __future__ import annotations

import csv
import io

import pytest

from gradcon_ext.reproduce.baselines import BASELINES
from gradcon_ext.reproduce.experiments import RECIPES, Experiment
from gradcon_ext.reproduce.measuring import OUTLIER_PERCENT
from gradcon_ext.reproduce.published import published, published_row
from gradcon_ext.reproduce.records import Record
from gradcon_ext.reproduce.tables import DESIGNS, Measured, dataset_of, models_of, table4, table_by_classes
from gradcon_ext.reproduce.variants import AVERAGED

LOSSES = ("reconstruction", "latent", "gradient", "primal", "combined", "balanced", "score")
DIGITS = tuple("0123456789")


def put(records, dataset, model, inlier, seed, value, epochs=50):
    """Record the same value for every loss, a tenth less for every F1, and half of it for averaged weights."""
    metrics = dict.fromkeys((*LOSSES, *(f"auroc at {percent} %" for percent in OUTLIER_PERCENT)), value)
    metrics |= {f"f1 at {percent} %": value - 0.1 for percent in OUTLIER_PERCENT}
    variants = {AVERAGED: {name: 0.5 * metric for name, metric in metrics.items()}}
    records.put(Experiment(dataset, model, inlier, seed).name, Record(epochs, epochs, metrics, variants=variants))


def written(table):
    """Mean and number of seeds by source, row and column."""
    lines = csv.DictReader(io.StringIO(table.csv()))
    return {(line["source"], line["row"], line["column"]): (float(line["mean"]), int(line["seeds"])) for line in lines}


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_has_every_published_row(name):
    design = DESIGNS[name]
    labels = [
        row if isinstance(row, str) else row.label for row in design.rows if isinstance(row, str) or row.published
    ]
    assert sorted(labels) == sorted(published()[name])
    for row in design.rows:
        if isinstance(row, Measured):
            assert row.model in {**RECIPES, **BASELINES}
            assert row.metric in LOSSES
            assert row.metric != "latent" or "vae" in row.model
    assert dataset_of(name) == design.dataset


def test_what_tables_need():
    paper = ["cae-grad", "cae-grad-strong"]
    gradcon = [*paper, "cae-lead-in-balanced"]
    assert models_of("table1") == ["cae", *paper, "vae", "vae-grad"]
    compared = ["ocsvm", "kde", "dae", "vae", "pixelcnn", "gan", "and", "anogan", "dsvdd", "ocgan"]
    assert models_of("table2") == models_of("table3") == [*compared, *gradcon]
    assert (models_of("table4"), dataset_of("table4")) == (["gpnd", *gradcon], "fashion-mnist")


def test_what_is_measured_stands_beside_what_is_published(records):
    for seed in range(2):
        put(records, "mnist", "cae-grad", "8", seed, 0.9 + 0.02 * seed)
        put(records, "mnist", "cae-grad", "1", seed, 0.99)
    put(records, "mnist", "vae", "8", 0, 0.7, epochs=100)
    put(records, "mnist", "kde", "8", 0, 0.6, epochs=0)
    put(records, "mnist", "cae-grad-strong", "8", 0, 0.96, epochs=30)
    table = table_by_classes("table3", records, DIGITS, ["8", "1"], seeds=2)
    assert table.title == "Table 3: AUROC of anomaly detectors, MNIST"
    assert table.columns == ["8", "1"]
    cells = written(table)
    for label in published()["table3"]:
        assert cells["paper", label, "8"] == (published_row("table3", label)[8], 1)
        assert cells["paper", label, "1"] == (published_row("table3", label)[1], 1)
    ours = {key: value for key, value in cells.items() if key[0].startswith("ours")}
    assert ours == {
        ("ours, 50 epochs", "GradCon", "8"): (0.91, 2),
        ("ours, 50 epochs", "GradCon", "1"): (0.99, 2),
        ("ours, 50 epochs", "GradCon", "average"): (0.95, 2),
        ("ours, 50 epochs", "GradCon, averaged weights", "8"): (0.455, 2),
        ("ours, 50 epochs", "GradCon, averaged weights", "1"): (0.495, 2),
        ("ours, 50 epochs", "GradCon, averaged weights", "average"): (0.475, 2),
        ("ours, 30 epochs", "GradCon, alpha 0.3 in training", "8"): (0.96, 1),
        ("ours, 100 epochs", "VAE", "8"): (0.7, 1),
        ("ours", "KDE", "8"): (0.6, 1),
    }
    assert "| DSVDD | ours, not run yet |  |  |  |" in table.markdown()


def test_runs_of_several_lengths_are_told(records):
    for seed, epochs in enumerate((1000, 50)):
        put(records, "cifar10", "cae", "cat", seed, 0.5, epochs)
    table = table_by_classes("table1", records, ("cat",), ["cat"], seeds=2)
    assert ("ours, 50 or 1000 epochs", "CAE, reconstruction", "cat") in written(table)


def test_seeds_are_not_mixed_in_an_average(records):
    for seed in range(3):
        put(records, "mnist", "cae-grad", "0", seed, 0.1 * seed)
        if seed != 1:
            put(records, "mnist", "cae-grad", "1", seed, 0.1 * seed)
    cells = written(table_by_classes("table3", records, DIGITS, ["0", "1"], seeds=3))
    assert cells["ours, 50 epochs", "GradCon", "1"] == (0, 1)
    assert cells["ours, 50 epochs", "GradCon", "average"] == (0, 1)


def test_table_4_averages_over_the_classes_of_complete_folds(records):
    for fold in range(3):
        put(records, "fashion-mnist", "cae-grad", "Bag", fold, 0.9)
        if fold != 1:
            put(records, "fashion-mnist", "cae-grad", "Coat", fold, 0.8 + 0.04 * fold)
    put(records, "fashion-mnist", "cae-grad-strong", "Bag", 0, 0.95, epochs=30)
    put(records, "fashion-mnist", "cae-grad-strong", "Coat", 0, 0.91, epochs=30)
    put(records, "fashion-mnist", "gpnd", "Bag", 0, 0.72, epochs=20)
    put(records, "fashion-mnist", "gpnd", "Coat", 0, 0.68, epochs=20)
    cells = written(table4(records, ["Bag", "Coat"], folds=3))
    for column, percent in enumerate(OUTLIER_PERCENT):
        for metric, expected in (("AUROC", 0.87), ("F1", 0.77)):
            assert cells["ours, 50 epochs, 2 folds", f"{metric}, GradCon", f"{percent} %"] == (expected, 2)
            strong = cells["ours, 30 epochs, 1 fold", f"{metric}, GradCon, alpha 0.3 in training", f"{percent} %"]
            assert strong == (0.93 if metric == "AUROC" else 0.83, 1)
            gpnd = cells["ours, 20 epochs, 1 fold", f"{metric}, GPND", f"{percent} %"]
            assert gpnd == (0.7 if metric == "AUROC" else 0.6, 1)
            for label in ("GPND", "GradCon"):
                paper = published()["table4"][label][metric.lower()][column]
                assert cells["paper", f"{metric}, {label}", f"{percent} %"] == (paper, 1)
    assert tuple(published()["table4"]["outlier_percent"]) == OUTLIER_PERCENT


def test_table_4_before_anything_is_run(records):
    assert "| F1, GradCon | ours, not run yet |  |  |  |  |  |" in table4(records, ["Bag"], folds=2).markdown()
