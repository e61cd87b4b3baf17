"""Fixtures of the command line's tests: a way to run it, a small finished run, and small folders of images."""

from __future__ import annotations

import shutil
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.cli import main
from support.threads import torch_threads

TRAIN_DIGITS = (
    *("train", "--dataset", "digits", "--inlier", "2", "--epochs", "2", "--lead-in", "0", "--width", "4", "--out"),
)


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def error(self):
        """What a failure says: one line, and nothing else on either stream."""
        assert self.out == ""
        assert self.err.startswith("gradcon: error: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("gradcon: error: ").strip()


@pytest.fixture(autouse=True)
def _one_thread():
    with torch_threads(1):
        yield


@pytest.fixture(autouse=True)
def no_data_root(monkeypatch):
    monkeypatch.delenv("GRADCON_DATA", raising=False)


@pytest.fixture
def gradcon(capsys):
    """Runs a command."""

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def train_digits(gradcon):
    """Trains a small detector of the digit 2 for two epochs, in a folder and with further options."""
    return lambda out, *options: gradcon(*TRAIN_DIGITS, out, *options)


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "digits"
    with torch_threads(1):
        assert main([*TRAIN_DIGITS, str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture
def digits_run(trained_once, tmp_path):
    """A folder with a finished run, for a test to do with as it likes."""
    return shutil.copytree(trained_once, tmp_path / "run")


@pytest.fixture
def write_photos():
    """Returns a writer of PNG files in colour, random and the same each time."""

    def write(folder, count=12, seed=0, size=(10, 9)):
        folder.mkdir()
        generator = np.random.default_rng(seed)
        for number in range(count):
            pixels = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:02}.png")
        return folder

    return write
