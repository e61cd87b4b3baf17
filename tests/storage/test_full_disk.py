"""A disk that is full: the error names the file, and neither half a file nor a temporary one is left."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys

import pytest

from gradcon_ext.storage.files import replace_file

LIMITED = """
import contextlib, io, json, resource, signal, sys, zlib
from pathlib import Path
from gradcon_ext.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ends = []
for size, *words in json.load(sys.stdin):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(words)
    files = {str(path): zlib.crc32(path.read_bytes()) for path in Path().rglob("*") if path.is_file()}
    ends.append((code, said.getvalue(), files))
print("ends", json.dumps(ends))
"""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_write_without_a_name_gets_that_of_the_file(tmp_path, number):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError) as raised, replace_file(path) as temporary:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number))
    assert (raised.value.errno, raised.value.filename) == (number, str(path))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "none", "other"), ConnectionResetError(104, "reset")])
def test_other_errors_keep_their_names(tmp_path, error):
    with pytest.raises(type(error)) as raised, replace_file(tmp_path / "file"):
        raise error
    assert raised.value is error


def limited(folder, *commands):
    """Run commands one after another, each with files of a largest size.

    Return of each its exit code, its standard error, and the files that are there then, with their checksums.
    """
    # A measurement of coverage would meet the limit too.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", LIMITED]
    done = subprocess.run(
        command, input=json.dumps(commands), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout.rpartition("ends ")[2])


def test_each_file_of_a_run_is_named(tmp_path):
    train = ("train", "--dataset", "digits", "--inlier", "2", "--width", "2", "--epochs", "1", "--quiet", "--out")
    limits = {"evaluation.json": 10, "evaluation.csv": 5000, "evaluation.png": 20_000}
    (code, error, files), (whole_code, _, whole), *evaluations = limited(
        tmp_path,
        (4000, *train, "run"),
        (resource.RLIM_INFINITY, *train, "whole"),
        *((size, "evaluate", "whole") for size in limits.values()),
    )
    assert code == 1
    assert error.startswith("gradcon: error: ")
    assert "run/checkpoint.safetensors: File too large" in error
    assert error.count("\n") == 1
    assert not [name for name in files if name.endswith(".safetensors")]

    assert whole_code == 0
    for name, (code, error, files) in zip(limits, evaluations, strict=True):
        assert code == 1, name
        assert error.endswith(f"gradcon: error: whole/{name}: File too large\n")  # joblib warns of the limit
        assert f"whole/{name}" not in files
        assert not [name for name in files if name.startswith("whole/.evaluation")]
        assert files.items() >= whole.items()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "gradcon_ext", "info"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd="/", check=False)
    assert (done.returncode, done.stderr) == (1, "gradcon: error: standard output: No space left on device\n")
