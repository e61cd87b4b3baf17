from __future__ import annotations

from math import isnan
from statistics import stdev

import pytest

from gradcon_ext.reproduce.table import Row, Table, deviation

ROWS = (
    Row("GradCon", "paper", [[0.5], [0.7]]),
    Row("GradCon", "ours", [[0.5, 0.7], [0.9, 0.7]]),
    Row("VAE, latent", "ours", [[0.25], []]),
    Row("KDE", "ours", [[0.1, 0.3], [0.2]]),
)

MARKDOWN = """\
## Table 9

|  | source | cat | dog | average |
| --- | --- | --- | --- | --- |
| GradCon | paper | 0.500 | 0.700 | 0.600 |
| GradCon | ours | 0.600 ± 0.141 | 0.800 ± 0.141 | 0.700 ± 0.000 |
| VAE, latent | ours | 0.250 |  |  |
| KDE | ours | 0.200 ± 0.141 | 0.200 | 0.150 |

- One.
- Two.
"""

CSV = """\
row,source,column,mean,std,seeds
GradCon,paper,cat,0.500000,,1
GradCon,paper,dog,0.700000,,1
GradCon,paper,average,0.600000,,1
GradCon,ours,cat,0.600000,0.141421,2
GradCon,ours,dog,0.800000,0.141421,2
GradCon,ours,average,0.700000,0.000000,2
"VAE, latent",ours,cat,0.250000,,1
KDE,ours,cat,0.200000,0.141421,2
KDE,ours,dog,0.200000,,1
KDE,ours,average,0.150000,,1
"""


@pytest.fixture
def table():
    return Table("Table 9", ["cat", "dog"], ROWS, notes=("One.", "Two."))


def test_markdown_has_means_and_deviations(table):
    assert table.markdown() == MARKDOWN


def test_csv_has_a_line_for_each_metric(table):
    assert table.csv() == CSV


def test_both_are_written(table, tmp_path):
    assert table.save(tmp_path, "table9") == [tmp_path / "table9.md", tmp_path / "table9.csv"]
    assert (tmp_path / "table9.md").read_text(encoding="utf-8") == MARKDOWN
    assert (tmp_path / "table9.csv").read_text(encoding="utf-8") == CSV
    assert len(list(tmp_path.iterdir())) == 2


def test_a_table_without_an_average_and_without_notes():
    table = Table("Table 0", ["cat"], [Row("KDE", "ours", [[0.1]])], average=False)
    assert table.markdown().splitlines()[2:] == ["|  | source | cat |", "| --- | --- | --- |", "| KDE | ours | 0.100 |"]
    assert "average" not in table.csv()


def test_only_seeds_with_every_column_are_averaged():
    assert Row("", "", [[0.1, 0.2], [0.3, 0.4]]).averages == pytest.approx([0.2, 0.3])
    assert Row("", "", [[0.1, 0.2], [0.3]]).averages == pytest.approx([0.2])
    assert Row("", "", [[0.1, 0.2], []]).averages == []
    assert Row("", "", []).averages == []


def test_a_single_value_has_no_deviation():
    assert isnan(deviation([0.5]))
    assert deviation([0.5, 0.6, 0.9]) == stdev([0.5, 0.6, 0.9])
