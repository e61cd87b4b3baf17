from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import torch

from gradcon_ext.cli.rows import score_rows, write_rows, write_rows_file
from gradcon_ext.scoring.scorer import Scores

SCORES = Scores(
    torch.tensor([0.1, 1e-9]), torch.zeros(2), torch.tensor([[0.5, -0.1], [1 / 3, 0.0]]), torch.tensor([0.2, 3e20])
)
LAYERS = ("decoder.0.weight", "decoder.2.weight")


def test_a_row_has_the_labels_and_all_scores():
    first, second = score_rows({"path": ["a.png", "b.png"], "class": [3, 4]}, SCORES, LAYERS)
    assert first == {
        "path": "a.png",
        "class": 3,
        "anomaly": 0.2,
        "reconstruction": 0.1,
        "latent": 0.0,
        "gradient": -0.2,
        "cosine.decoder.0.weight": 0.5,
        "cosine.decoder.2.weight": -0.1,
    }
    assert second["path"] == "b.png"


def test_no_digit_is_lost():
    rows = list(score_rows({}, SCORES, LAYERS))
    for row, expected in zip(rows, SCORES.cosine.numpy(), strict=True):
        assert np.float32(row["cosine.decoder.0.weight"]) == expected[0]
    assert [np.float32(row["anomaly"]) for row in rows] == SCORES.anomaly.tolist()


def test_labels_must_fit():
    with pytest.raises(ValueError):
        list(score_rows({"path": ["a.png"]}, SCORES, LAYERS))


def test_csv():
    stream = io.StringIO()
    write_rows(stream, [{"path": 'a "quoted", name', "anomaly": 0.5}, {"path": "b", "anomaly": 1e-9}], "csv")
    assert stream.getvalue() == 'path,anomaly\n"a ""quoted"", name",0.5\nb,1e-09\n'
    assert list(csv.reader(io.StringIO(stream.getvalue())))[1] == ['a "quoted", name', "0.5"]


@pytest.mark.parametrize("name", ["a\rb.png", "a\nb.png", "a\r\nb.png", "\r", "a\r\n"])
def test_names_that_end_lines_are_read_back(name, tmp_path):
    write_rows_file(tmp_path / "scores.csv", [{"path": name, "frame": name}, {"path": "b", "frame": 0}], "csv")
    assert (tmp_path / "scores.csv").read_bytes().startswith(b"path,frame\n")
    with (tmp_path / "scores.csv").open(newline="") as stream:
        assert list(csv.reader(stream)) == [["path", "frame"], [name, name], ["b", "0"]]


def test_jsonl():
    stream = io.StringIO()
    rows = [{"path": "ä", "anomaly": 0.5}, {"path": "b", "anomaly": 1e-9}]
    write_rows(stream, rows, "jsonl")
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == rows


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_rows_are_written_as_they_come(format):
    stream = io.StringIO()

    def rows():
        for number in range(3):
            assert stream.getvalue().count("\n") == (number and number + (format == "csv"))
            yield {"number": number}

    write_rows(stream, rows(), format)


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("the old one")

    def rows():
        yield {"number": 1}
        assert path.read_text() == "the old one"
        if failing:
            raise ValueError("a damaged image")

    failing = True
    with pytest.raises(ValueError, match="a damaged image"):
        write_rows_file(path, rows(), "csv")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["the old one"]
    failing = False
    write_rows_file(path, rows(), "csv")
    assert path.read_text() == "number\n1\n"


def test_names_that_are_not_utf_8_pass_through(tmp_path):
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    write_rows_file(tmp_path / "scores.csv", [{"path": name}], "csv")
    assert (tmp_path / "scores.csv").read_bytes() == b"path\ncaf\xe9.png\n"
