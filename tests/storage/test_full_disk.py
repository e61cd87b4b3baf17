"""A disk that is full: the error names the file, and neither half a file nor a temporary one is left."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest

from gradcon_ext.storage.files import replace_file

LIMITED = """
import resource, signal, sys
from gradcon_ext.__main__ import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = ["gradcon", *sys.argv[2:]]
sys.exit(main())
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


def limited(size, folder, *words):
    command = [sys.executable, "-c", LIMITED, size, *words]
    # A measurement of coverage would meet the limit too.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_each_file_of_a_run_is_named(tmp_path):
    train = ("train", "--dataset", "digits", "--inlier", "2", "--width", "2", "--epochs", "1", "--quiet", "--out")
    done = limited(4000, tmp_path, *train, "run")
    assert done.returncode == 1
    assert done.stderr.startswith("gradcon: error: ")
    assert "run/checkpoint.safetensors: File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "run").glob("*.safetensors")) + list((tmp_path / "run").glob(".*.safetensors"))

    assert limited(resource.RLIM_INFINITY, tmp_path, *train, "whole").returncode == 0
    written = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    for size, name in ((10, "evaluation.json"), (5000, "evaluation.csv"), (20_000, "evaluation.png")):
        done = limited(size, tmp_path, "evaluate", "whole")
        assert done.returncode == 1, name
        assert done.stderr.endswith(f"gradcon: error: whole/{name}: File too large\n")  # joblib warns of the limit
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "whole" / name).exists()
        assert not list((tmp_path / "whole").glob(".evaluation*"))
    assert all((tmp_path / "whole" / name).read_bytes() == content for name, content in written.items())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "gradcon_ext", "info"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd="/", check=False)
    assert (done.returncode, done.stderr) == (1, "gradcon: error: standard output: No space left on device\n")
