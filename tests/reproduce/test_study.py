from __future__ import annotations

from statistics import stdev

import pytest

from gradcon_ext.reproduce.experiments import RECIPES, Experiment
from gradcon_ext.reproduce.records import Record
from gradcon_ext.reproduce.study import WAYS, study
from gradcon_ext.reproduce.variants import AVERAGED, PUBLISHED, RENEWED

LOSSES = ("reconstruction", "gradient", "combined")
CHOSEN = {"mnist": ["0", "8"], "cifar10": ["cat"]}
SELECTIONS = [
    "epoch with the best validation objective",
    "last epoch",
    "any snapshot of the second half",
    "weights and references averaged over those snapshots",
    "best epoch, references recomputed at its weights",
    "checkpoint that the published code would test",
]


def put(records, inlier, seed, add=0.0, epochs=(2, 4, 6), dataset="mnist", variants=(AVERAGED, RENEWED, PUBLISHED)):
    """Record what is told apart by how the weights were chosen: 0.1 for the best epoch, 0.2 for epoch 2 and so on."""

    def metrics(value):
        return dict.fromkeys(LOSSES, round(value + add, 6))

    record = Record(
        max(epochs),
        1,
        metrics(0.1),
        {epoch: metrics(0.1 * epoch) for epoch in epochs},
        {name: metrics(value) for name, value in zip(variants, (0.7, 0.8, 0.9), strict=False)},
    )
    records.put(Experiment(dataset, "cae-grad", inlier, seed).name, record)


def values_of(table, column=0):
    return {row.source: row.values[column] for row in table.rows if row.label == "average of the objective gradients"}


def test_ways_to_train_differ_from_the_papers_in_one_thing_each():
    recipes = [dict(RECIPES[way.model].trainer) for way in WAYS]
    assert recipes == [{}, {}, {"average": "primal"}, {"alpha": 0.3}]
    assert [way.dataset("cifar10") for way in WAYS] == ["cifar10", "cifar10-lanczos", "cifar10", "cifar10"]
    assert {way.dataset("mnist") for way in WAYS} == {"mnist"}


def test_every_choice_of_weights_is_averaged_over_the_classes(records):
    for seed in range(2):
        put(records, "0", seed, 0.02 * seed)
        put(records, "8", seed, 0.04 * seed)
    table = study(records, CHOSEN, seeds=2)
    assert table.columns == [f"{dataset} {loss}" for dataset in CHOSEN for loss in LOSSES]
    for column in range(len(LOSSES)):
        values = values_of(table, column)
        assert list(values) == SELECTIONS
        expected = ([0.1, 0.13], [0.6, 0.63], [0.4, 0.6, 0.43, 0.63], [0.7, 0.73], [0.8, 0.83], [0.9, 0.93])
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


def test_shrinking_as_the_published_code_does_it_has_rows_beside_ours(records):
    put(records, "cat", 0, dataset="cifar10")
    put(records, "cat", 0, add=0.05, dataset="cifar10-lanczos")
    rows = {(row.label, row.source): row.values for row in study(records, CHOSEN, seeds=1).rows}
    ours, checkpoint = "average of the objective gradients", "checkpoint that the published code would test"
    best = "epoch with the best validation objective"
    assert [label for label, _ in rows].count("shrunk by LANCZOS") == 2
    for selection, value in ((best, 0.1), (checkpoint, 0.9)):
        assert rows[ours, selection][3:] == [[pytest.approx(value)]] * 3
        assert rows["shrunk by LANCZOS", selection][3:] == [[pytest.approx(value + 0.05)]] * 3


def test_a_record_without_the_checkpoint_is_not_run(records):
    put(records, "0", 0)
    put(records, "8", 0, variants=(AVERAGED, RENEWED))
    values = values_of(study(records, CHOSEN, seeds=1))
    assert values["checkpoint that the published code would test"] == []
    assert values["last epoch"] == pytest.approx([0.6])
