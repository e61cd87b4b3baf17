from __future__ import annotations

import csv

import pytest

from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.length import length_figure
from gradcon_ext.reproduce.records import Record

LOSSES = {"reconstruction": 0.0, "gradient": 0.1, "combined": 0.2}


def put(records, dataset, name, model, start, epochs=(10, 100), seed=0):
    """Record an AUROC that grows by 0.001 an epoch."""
    by_epoch = {epoch: {loss: start + add + epoch / 1000 for loss, add in LOSSES.items()} for epoch in epochs}
    experiment = Experiment(dataset, model, name, seed)
    records.put(experiment.name, Record(max(epochs), 1, {}, by_epoch))


def titles_of(figure):
    return [axes.get_title() for axes in figure.drawing.axes]


def test_each_class_on_record_has_a_panel_of_all_its_curves(records):
    put(records, "mnist", "0", "cae-grad-long", 0.3)
    put(records, "mnist", "0", "cae-long", 0.2)
    put(records, "cifar10", "cat", "cae-long", 0.1)
    figure = length_figure(records, {"mnist": ["0", "1"], "cifar10": ["cat"], "digits": ["7"]}, seeds=1)
    assert titles_of(figure) == ["mnist: 0", "cifar10: cat"]
    panel, other = figure.drawing.axes
    assert (panel.get_xscale(), panel.get_xlabel(), panel.get_ylabel()) == ("log", "epoch", "AUROC")
    curves = {line.get_label(): line.get_xydata().tolist() for line in panel.get_lines()[: 2 * len(LOSSES)]}
    for model, start in (("CAE + Grad", 0.3), ("CAE", 0.2)):
        for loss, add in LOSSES.items():
            expected = [[10, start + add + 0.01], [100, start + add + 0.1]]
            assert curves.pop(f"{model}, {loss}") == [pytest.approx(point) for point in expected]
    assert curves == {}
    assert len(other.get_lines()) == len(LOSSES) + 1
    (legend,) = figure.drawing.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [f"{model}, {loss}" for loss in LOSSES for model in ("CAE + Grad", "CAE")]  # columns of a loss


def test_what_is_drawn_stands_in_the_table(records, tmp_path):
    put(records, "cifar10", "cat", "cae-grad-long", 0.3, epochs=(1000, 20, 100))
    put(records, "cifar10", "cat", "cae-grad-long", 0.4, epochs=(10, 100), seed=1)
    paths = length_figure(records, {"cifar10": ["cat"]}, seeds=2).save(tmp_path, "length")
    with paths[1].open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loss"] == "gradient"]
    found = [(row["class"], row["model"], int(row["seed"]), int(row["epoch"]), float(row["auroc"])) for row in rows]
    assert found == [
        ("cat", "CAE + Grad", 0, 20, pytest.approx(0.42)),
        ("cat", "CAE + Grad", 0, 100, pytest.approx(0.5)),
        ("cat", "CAE + Grad", 0, 1000, pytest.approx(1.4)),
        ("cat", "CAE + Grad", 1, 10, pytest.approx(0.51)),
        ("cat", "CAE + Grad", 1, 100, pytest.approx(0.6)),
    ]


def test_the_caption_tells_means_at_epochs_that_all_runs_have(records):
    put(records, "mnist", "0", "cae-grad-long", 0.3, epochs=(10, 20, 100))
    put(records, "mnist", "1", "cae-grad-long", 0.5, epochs=(20, 100, 1000))
    put(records, "mnist", "1", "cae-long", 0.1, epochs=(10,))
    caption = length_figure(records, {"mnist": ["0", "1"]}, seeds=1).caption
    assert (
        "On mnist (2 classes): gradient loss of CAE + Grad 0.520 after 20 and 0.600 after 100 epochs; "
        "gradient loss of CAE 0.210 after 10 epochs." in caption
    )


def test_more_than_five_classes_go_on_in_another_row(records):
    for name in "01234567":
        put(records, "mnist", name, "cae-long", 0.3)
    put(records, "cifar10", "cat", "cae-long", 0.3)
    figure = length_figure(records, {"mnist": list("01234567"), "cifar10": ["cat"]}, seeds=1)
    rows = [axes.get_subplotspec().rowspan.start for axes in figure.drawing.axes]
    assert rows == [0] * 5 + [1] * 3 + [2]
    labelled = [title for axes, title in zip(figure.drawing.axes, titles_of(figure), strict=True) if axes.get_ylabel()]
    assert labelled == ["mnist: 0", "mnist: 5", "cifar10: cat"]


def test_nothing_on_record_is_an_error(records):
    put(records, "mnist", "1", "cae", 0.3)
    with pytest.raises(ValueError, match="no record of cae-grad-long or cae-long on mnist"):
        length_figure(records, {"mnist": ["0", "1"]}, seeds=3)
