from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

import pytest

from gradcon_ext import cli
from gradcon_ext.version import __version__

(_CHOICES,) = (action.choices for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction))
COMMANDS = sorted(_CHOICES)


def test_help_names_every_command(gradcon):
    result = gradcon("--help")
    assert result.code == 0
    assert {"check", "train", "score", "evaluate", "report", "serve", "export", "verify"} <= set(COMMANDS)
    for command in COMMANDS:
        assert f"\n    {command} " in result.out


def test_the_help_of_a_report_says_what_it_takes_and_what_its_words_mean(gradcon):
    words = ("MVTec AD", ".csv", ".jsonl", "verdict", "p-value", "threshold", "false-alarm rate", "outlier", "inlier")
    told = " ".join(gradcon("report", "--help").out.split())
    assert [word for word in words if word not in told] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_ends_with_examples(gradcon, command):
    result = gradcon(command, "--help")
    assert result.code == 0
    assert f"  gradcon {command}" in result.out.split("\nexamples:\n")[1]


def test_the_version(gradcon):
    assert gradcon("--version") == (0, f"gradcon {__version__}\n", "")


@pytest.mark.parametrize("words", [[], ["retrain"], ["info", "--verbose"], ["score"], ["--trace", "info"]])
def test_bad_usage(gradcon, words):
    result = gradcon(*words)
    assert result.code == 2
    assert result.err.startswith("usage: gradcon")


@pytest.mark.parametrize(
    "words",
    [
        ("score", "run", ""),
        ("score", "", "photos"),
        ("score", "run", "photos", "--maps", ""),
        ("check", ""),
        ("report", "run", "", "--out", "report.html"),
        ("evaluate", "run", "--images", ""),
        ("evaluate", "run", "--inliers", "", "--outliers", "faulty"),
        ("evaluate", "run", "--inliers", "good", "--outliers="),
        ("evaluate", "run", "--images", "mvtec", "--masks", ""),
        ("train", "--images", "", "--out", "run"),
        ("train", "--images", "photos", "--calibration", "", "--out", "run"),
        ("train", "--images", "photos", "--validation", "", "--out", "run"),
    ],
    ids=" ".join,
)
def test_an_empty_path_is_not_the_current_folder(gradcon, words):
    result = gradcon(*words)
    assert result.code == 2 and "expected a path, got an empty one" in result.err.splitlines()[-1]


def raising(monkeypatch, error):
    def run(args):
        raise error

    monkeypatch.setattr(cli.info, "run", run)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no\n  good"), "no good"),
        (TypeError("int32"), "int32"),
        (RuntimeError(""), "RuntimeError"),
        (PermissionError(13, "Permission denied", "a/file"), "a/file: Permission denied"),
        (OSError("disk full"), "disk full"),
        (MemoryError("unable to allocate 30.8 GiB"), "unable to allocate 30.8 GiB"),
    ],
)
def test_a_failure_is_one_line(gradcon, monkeypatch, error, line):
    raising(monkeypatch, error)
    result = gradcon("info")
    assert (result.code, result.error) == (1, line)


@pytest.mark.parametrize("error", [KeyError("bug"), AssertionError(), NotImplementedError(), RecursionError()])
def test_a_mistake_of_the_program_shows_itself(gradcon, monkeypatch, error):
    raising(monkeypatch, error)
    with pytest.raises(type(error)):
        gradcon("info")


def test_a_traceback_can_be_asked_for(gradcon, monkeypatch):
    raising(monkeypatch, ValueError("no good"))
    with pytest.raises(ValueError, match="no good"):
        gradcon("--traceback", "info")


def test_an_interruption_has_its_own_code(gradcon, monkeypatch):
    raising(monkeypatch, KeyboardInterrupt())
    assert gradcon("info") == (130, "", "gradcon: interrupted\n")
    raising(monkeypatch, KeyboardInterrupt(signal.SIGTERM))
    assert gradcon("info") == (143, "", "gradcon: terminated\n")


def test_a_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "gradcon_ext", "info"]
    # From elsewhere, lest the source folder hide the installed package.
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd="/", check=False)
    os.close(writing)
    assert (result.returncode, result.stderr) == (1, b"")
