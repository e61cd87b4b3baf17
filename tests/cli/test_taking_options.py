"""Options of tiles and features, and which of them go together."""

from __future__ import annotations

import argparse
import sys

import pytest
import torch

from gradcon_ext.cli import taking_options
from gradcon_ext.tiles import Pooling


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max", Pooling("max")), ("largest:3", Pooling("largest", 3)), ("quantile:0.9", Pooling("quantile", 0.9))],
)
def test_poolings(text, expected):
    assert taking_options.pooling(text) == expected


@pytest.mark.parametrize("text", ["", "mean", "largest:0", "largest:1.5", "quantile:2", "quantile:nan"])
def test_what_is_no_pooling(text):
    with pytest.raises(argparse.ArgumentTypeError, match="largest:3 or quantile"):
        taking_options.pooling(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.1", "nan", "inf", "half", ""])
def test_what_is_no_scale(text):
    with pytest.raises(argparse.ArgumentTypeError, match="above 0 and at most 1"):
        taking_options.scale(text)


def test_a_scale():
    assert taking_options.scale("0.5") == 0.5
    assert taking_options.scale("1") == 1


@pytest.mark.parametrize("text", ["", "a,", "a,a", ",a"])
def test_what_are_no_names(text):
    with pytest.raises(argparse.ArgumentTypeError, match="different names"):
        taking_options.names(text)


def test_names():
    assert taking_options.names("_blocks.4, _blocks.7") == ("_blocks.4", "_blocks.7")


@pytest.mark.parametrize("parse", [taking_options.surroundings, taking_options.bands])
@pytest.mark.parametrize("text", ["", "4", "-3", "0", "3,4", "5,", "5,5", "5.0", "x"])
def test_what_are_no_odd_numbers(parse, text):
    with pytest.raises(argparse.ArgumentTypeError, match="different odd numbers such as 5,9"):
        parse(text)


def test_odd_numbers():
    assert taking_options.surroundings("5, 13") == (5, 13)
    assert taking_options.bands("1,7") == (1, 7)
    with pytest.raises(argparse.ArgumentTypeError):
        taking_options.surroundings("1")  # each position's own features


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--stride 8", "--stride needs --tile or --features"),
        ("--pool max", "--pool needs --tile or --features"),
        ("--tiles 9", "--tiles needs --tile or --features"),
        ("--scale 0.5", "--scale needs --tile"),
        ("--even-contrast", "--even-contrast needs --tile"),
        ("--stages a", "--stages needs --features"),
        ("--tile 8 --grid 3", "--grid needs --features"),
        ("--surroundings 9", "--surroundings needs --features"),
        ("--tile 8 --bands 7", "--bands needs --features"),
        ("--tile 8 --features a:b --scale 0.5", "--scale is of tiles of pixels"),
        ("--tile 8 --features a:b --even-contrast", "--even-contrast is of tiles of pixels"),
    ],
)
def test_misfits_are_refused(words, message):
    parser = argparse.ArgumentParser()
    taking_options.add_taking(parser)
    with pytest.raises(argparse.ArgumentError, match=message):
        taking_options.refuse_misfits(parser.parse_args(words.split()))


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("", {}),
        (
            "--tile 8 --stride 4 --scale 0.5 --even-contrast --pool max --tiles 9",
            {"tile": 8, "stride": 4, "scale": 0.5, "even_contrast": True, "pool": Pooling("max"), "tiles": 9},
        ),
        (
            "--features a:b --stages c --grid 3 --surroundings 5,9 --bands 7",
            {"features": "a:b", "stages": ("c",), "grid": 3, "surroundings": (5, 9), "bands": (7,)},
        ),
    ],
)
def test_what_fits_is_left_as_it_is(words, given):
    parser = argparse.ArgumentParser()
    taking_options.add_taking(parser)
    args = parser.parse_args(words.split())
    taking_options.refuse_misfits(args)
    assert {name: value for name, value in vars(args).items() if value is not None} == given


def test_a_network_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "a_network_of_mine.py").write_text("import torch\n\ndef make():\n    return torch.nn.Conv2d(3, 2, 1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    assert isinstance(taking_options.network_of("a_network_of_mine:make"), torch.nn.Conv2d)
    with pytest.raises(ValueError, match="--features no_such_network:make: No module named"):
        taking_options.network_of("no_such_network:make")
