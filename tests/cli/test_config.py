"""Options in a file, with a parser of their own and with `gradcon train`."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.cli.config import CommandParser, to_toml
from gradcon_ext.training.run_contents import CONFIG


@pytest.fixture
def parser():
    parser = CommandParser(prog="test", allow_abbrev=False)
    parser.add_argument("--config")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data-set")
    source.add_argument("--images", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--range")
    parser.add_argument("--stages", nargs="+")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--fit", choices=("squash", "pad"))
    return parser


def parse(parser, tmp_path, text, *words):
    path = tmp_path / "options.toml"
    path.write_text(text)
    return parser.parse_args(["--config", str(path), *words])


def test_the_help_names_choices(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert "--fit {squash,pad}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("epochs = 5", "epochs", 5),
        ("epochs = '5'", "epochs", 5),
        ("data-set = 'mnist'", "data_set", "mnist"),
        ("data_set = 'mnist'", "data_set", "mnist"),
        ("data-set = '-1 x'", "data_set", "-1 x"),
        ("images = 'a/ü b'", "images", Path("a/ü b")),
        ("range = [0, 4095]", "range", "0,4095"),
        ("quiet = true", "quiet", True),
        ("quiet = false", "quiet", False),
        ("keep = true", "keep", True),
        ("keep = false", "keep", False),
        ("no-keep = true", "keep", False),
        ("no_keep = false", "keep", True),
        ("# nothing", "keep", None),
    ],
)
def test_values(parser, tmp_path, text, name, value):
    assert getattr(parse(parser, tmp_path, text), name) == value


@pytest.mark.parametrize(
    ("text", "words", "name", "value"),
    [
        ("epochs = 5", ("--epochs", "7"), "epochs", 7),
        ("epochs = 5", ("--epochs=7",), "epochs", 7),
        ("keep = true", ("--no-keep",), "keep", False),
        ("keep = false", ("--keep",), "keep", True),
        ("data-set = 'mnist'", ("--images", "photos"), "data_set", None),
        ("data-set = 'mnist'", ("--images", "photos"), "images", Path("photos")),
    ],
)
def test_the_command_line_wins(parser, tmp_path, text, words, name, value):
    assert getattr(parse(parser, tmp_path, text, *words), name) == value


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("epoch = 5", "'epoch'"),
        ("help = true", "'help'"),
        ("config = 'x'", "'config'"),
        ("epochs = 'many'", "--epochs"),
        ("epochs = true", "epochs"),
        ("quiet = 1", "quiet"),
        ("quiet = 'yes'", "quiet"),
        ("[epochs]\nx = 1", "epochs"),
        ("data-set = 'a'\nimages = 'b'", "not allowed with"),
        ("epochs = ", "options.toml"),
        ("epochs = 1\nepochs = 2", "options.toml"),
        ("data-set = 'a'\ndata_set = 'b'", "'data-set' and 'data_set' are the same option"),
        ("keep = true\nno-keep = true", "'keep' and 'no-keep' are the same option"),
    ],
)
def test_what_is_wrong_is_bad_usage(parser, tmp_path, capsys, text, word):
    with pytest.raises(SystemExit) as stop:
        parse(parser, tmp_path, text)
    assert stop.value.code == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("path", ["missing.toml", "."])
def test_a_file_that_cannot_be_read(parser, capsys, path):
    with pytest.raises(SystemExit):
        parser.parse_args(["--config", path])
    assert path in capsys.readouterr().err


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(epochs=st.integers(-(10**9), 10**9), text=TEXTS, keep=st.booleans())
def test_what_is_written_is_read_as_it_was(tmp_path_factory, epochs, text, keep):
    parser = CommandParser(allow_abbrev=False)
    parser.add_argument("--config")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--text")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction)
    words = [f"--epochs={epochs}", f"--text={text}", "--keep" if keep else "--no-keep"]
    options = parser.parse_args(words).options
    assert options == {"epochs": str(epochs), "text": text, "keep": keep}
    path = tmp_path_factory.mktemp("options") / "options.toml"
    path.write_text(to_toml("# options", options), encoding="utf-8")
    again = parser.parse_args([f"--config={path}"])
    assert (again.epochs, again.text, again.keep) == (epochs, text, keep)


def facts(gradcon, run):
    lines = gradcon("info", run).out.splitlines()
    return [line for line in lines if not line.startswith(("file:", "training.seconds:"))]


def test_a_run_is_repeated_by_the_file_that_it_leaves(gradcon, train_digits, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert "seed = " not in train_digits(first, "--seed", "1", "--patience", "1", "--no-calibrate").out
    again = gradcon("train", "--config", first / CONFIG, "--out", second)
    assert again.code == 0
    assert facts(gradcon, first) == facts(gradcon, second)
    assert {"epochs = 2", "seed = 1", "patience = 1", "calibrate = false"} <= {*again.out.splitlines()}


def test_of_a_folder_too(gradcon, write_photos, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    photos = write_photos(tmp_path / "photos", 30)
    words = ("--size", "8", "--background", "#000000", "--epochs", "1", "--lead-in", "1", "--width", "4", "--quiet")
    assert gradcon("train", "--images", photos, *words, "--out", first).code == 0
    assert gradcon("train", "--config", first / CONFIG, "--out", second, "--quiet") == (0, "", "")
    assert facts(gradcon, first) == facts(gradcon, second)


def test_a_run_that_cannot_begin_leaves_no_options(gradcon, tmp_path):
    (tmp_path / "photos").mkdir()
    assert gradcon("train", "--images", tmp_path / "photos", "--out", tmp_path / "run").code == 1
    assert not (tmp_path / "run").exists()
