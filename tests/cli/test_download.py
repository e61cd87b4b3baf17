from __future__ import annotations

import re

import pytest

from gradcon_ext.cli import download
from gradcon_ext.data.download import SOURCES, Source


@pytest.fixture
def downloads(monkeypatch):
    """What is downloaded, by a stand-in for which fashion-mnist is there already."""
    asked = []

    def stand_in(name, root, progress):
        asked.append((name, root, progress))
        return [] if name == "fashion-mnist" else [root / name / "a.gz", root / name / "b.gz"]

    monkeypatch.setattr(download, "download", stand_in)
    return asked


def test_it_says_what_was_downloaded_and_what_was_there(gradcon, tmp_path, downloads):
    result = gradcon("download", "mnist", "fashion-mnist", "--data-root", tmp_path)
    assert (result.code, result.err) == (0, "")
    first, second = result.out.splitlines()
    assert re.search(f"a.gz, b.gz .*{tmp_path / 'mnist'}", first)
    assert re.search(f"fashion-mnist .*{tmp_path} already", second)
    assert downloads == [("mnist", tmp_path, False), ("fashion-mnist", tmp_path, False)]


def test_the_root_may_come_from_the_environment(gradcon, tmp_path, downloads, monkeypatch):
    monkeypatch.setenv("GRADCON_DATA", str(tmp_path))
    assert gradcon("download", "cifar10").code == 0
    assert downloads == [("cifar10", tmp_path, False)]


def test_a_root_is_needed(gradcon, downloads):
    result = gradcon("download", "mnist")
    assert result.code == 2
    assert re.search("error: .*--data-root.*GRADCON_DATA\n$", result.err)
    assert downloads == []


@pytest.mark.parametrize("words", [[], ["digits"], ["mnist", "svhn"]])
def test_names_must_be_known(gradcon, tmp_path, downloads, words):
    result = gradcon("download", *words, "--data-root", tmp_path)
    assert result.code == 2
    assert result.err.startswith("usage: gradcon download")
    assert downloads == []


def test_a_failure_is_one_line(gradcon, tmp_path, monkeypatch):
    source = Source("mnist", {"a.gz": "0" * 32}, ["http://127.0.0.1:port/"])
    monkeypatch.setattr("gradcon_ext.data.download.SOURCES", {"mnist": source})
    result = gradcon("download", "mnist", "--data-root", tmp_path)
    assert result.code == 1
    assert re.search("a.gz .*http://127.0.0.1:port/ .*--data-root.*GRADCON_DATA", result.error)


def test_the_help_tells_of_what_is_not_downloaded(gradcon):
    result = gradcon("download", "--help")
    assert result.code == 0
    assert "https://github.com/olivesgatech/CURE-TSR" in result.out
    assert "digits" in result.out
    assert all(name in result.out for name in SOURCES)
