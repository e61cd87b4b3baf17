from __future__ import annotations

from statistics import stdev

import pytest

from gradcon_ext.reproduce.experiments import RECIPES, Experiment
from gradcon_ext.reproduce.records import Record
from gradcon_ext.reproduce.study import MODELS, study
from gradcon_ext.reproduce.variants import AVERAGED, RENEWED

LOSSES = ("reconstruction", "gradient", "combined")
CHOSEN = {"mnist": ["0", "8"], "cifar10": ["cat"]}
SELECTIONS = [
    "epoch with the best validation objective",
    "last epoch",
    "any snapshot of the second half",
    "weights and references averaged over those snapshots",
    "best epoch, references recomputed at its weights",
]


def put(records, inlier, seed, add=0.0, epochs=(2, 4, 6), dataset="mnist"):
    """Record what is told apart by how the weights were chosen: 0.1 for the best epoch, 0.2 for epoch 2 and so on."""

    def metrics(value):
        return dict.fromkeys(LOSSES, round(value + add, 6))

    record = Record(
        max(epochs),
        1,
        metrics(0.1),
        {epoch: metrics(0.1 * epoch) for epoch in epochs},
        {AVERAGED: metrics(0.7), RENEWED: metrics(0.8)},
    )
    records.put(Experiment(dataset, "cae-grad", inlier, seed).name, record)


def values_of(table, column=0):
    return {row.source: row.values[column] for row in table.rows if row.label == "average of the objective gradients"}


def test_ways_to_train_differ_from_the_papers_in_one_thing_each():
    recipes = [dict(RECIPES[model].trainer) for model in MODELS.values()]
    assert recipes == [{}, {"average": "primal"}, {"alpha": 0.3}]


def test_every_choice_of_weights_is_averaged_over_the_classes(records):
    for seed in range(2):
        put(records, "0", seed, 0.02 * seed)
        put(records, "8", seed, 0.04 * seed)
    table = study(records, CHOSEN, seeds=2)
    assert table.columns == [f"{dataset} {loss}" for dataset in CHOSEN for loss in LOSSES]
    for column in range(len(LOSSES)):
        values = values_of(table, column)
        assert list(values) == SELECTIONS
        expected = ([0.1, 0.13], [0.6, 0.63], [0.4, 0.6, 0.43, 0.63], [0.7, 0.73], [0.8, 0.83])
        for selection, of_seeds in zip(SELECTIONS, expected, strict=True):
            assert values[selection] == pytest.approx(of_seeds)
    assert f"| 0.115 ± {stdev([0.1, 0.13]):.3f} |" in table.markdown()
    assert "mnist: 0, 8; cifar10: cat" in table.notes[0]


def test_only_seeds_with_all_classes_count(records):
    for seed in range(2):
        put(records, "0", seed, 0.2 * seed)
    put(records, "8", 1)
    table = study(records, CHOSEN, seeds=2)
    assert values_of(table)["last epoch"] == pytest.approx([0.7])
    assert values_of(table, len(LOSSES)) == {selection: [] for selection in SELECTIONS}


def test_runs_of_several_lengths_go_together(records):
    put(records, "0", 0, epochs=(2, 4, 6))
    put(records, "8", 0, epochs=(1, 2, 3, 4, 5))
    values = values_of(study(records, CHOSEN, seeds=1))
    assert values["last epoch"] == pytest.approx([0.55])
    assert values["any snapshot of the second half"] == pytest.approx([0.35, 0.5])
