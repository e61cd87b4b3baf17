from __future__ import annotations

from statistics import fmean

import pytest

from gradcon_ext.data import CURE_TSR_CHALLENGES
from gradcon_ext.reproduce.published import published, published_row

ROWS = [(table, row) for table in ("table1", "table2", "table3") for row in published()[table]]


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_the_average_of_a_row_is_that_of_its_classes(table, row):
    *classes, average = published_row(table, row)
    assert len(classes) == 10
    assert all(0 < auroc < 1 for auroc in classes)
    # Classes and average are rounded to three decimals, each for itself.
    assert fmean(classes) == pytest.approx(average, abs=0.0011)


def test_a_row_that_two_tables_share_is_the_same():
    assert published_row("table2", "VAE") == published_row("table1", "VAE, latent")


def test_what_the_paper_concludes_holds_for_its_metrics():
    best = {
        table: max(published()[table], key=lambda row: published_row(table, row)[-1]) for table in ("table1", "table2")
    }
    assert best == {"table1": "CAE + Grad, gradient", "table2": "GradCon"}
    table4 = published()["table4"]
    for method in ("GPND", "GradCon"):
        assert {len(table4[method][metric]) for metric in ("f1", "auroc")} == {len(table4["outlier_percent"])}
    figure4 = published()["figure4"]
    (least,), (most,) = figure4["smallest_gain"].values(), figure4["largest_gain"].values()
    assert least < figure4["average_gain"] < most
    assert set(figure4["challenges"]) < set(CURE_TSR_CHALLENGES)
