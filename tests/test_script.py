from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from gradcon_ext.training.checkpoint import planned_epochs

LONG = 300  # Seconds, after which a process hangs: others on the machine may slow it.
SCRIPT = Path(sysconfig.get_path("scripts"), "gradcon")


def run(tmp_path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *words], cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_the_script_runs_the_command_line(tmp_path: Path) -> None:
    done = run(tmp_path, "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("gradcon ")


def test_a_package_that_cannot_be_imported_is_one_message(tmp_path: Path) -> None:
    done = run(tmp_path, "info", GRADCON_CPU_CAPABILITY="nonsense")
    assert done.returncode == 1
    assert done.stderr.startswith("gradcon: error: ")
    assert "'nonsense'" in done.stderr
    assert "Traceback" not in done.stderr


def started(tmp_path: Path, *command: str | Path) -> subprocess.Popen[str]:
    # A shell has what it starts in the background ignore an interrupt, and so would its children.
    interruptible = ("env", "--default-signal=INT", *command)
    return subprocess.Popen(interruptible, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + LONG
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_that_is_stopped_can_go_on(tmp_path: Path, number: signal.Signals, code: int) -> None:
    train = (
        "train",
        "--dataset",
        "digits",
        "--inlier",
        "2",
        "--width",
        "2",
        "--lead-in",
        "0",
        "--out",
        "run",
        "--epochs",
    )
    process = started(tmp_path, SCRIPT, *train, "100000")
    wait_for(tmp_path / "run" / "checkpoint.safetensors", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == code
    assert out == ""
    assert "--resume" in err
    assert "Traceback" not in err
    assert planned_epochs(tmp_path / "run" / "checkpoint.safetensors") == 100000
    assert not list((tmp_path / "run").glob(".*.safetensors"))


SLOW_TO_TIDY_UP = """
import sys, time
from pathlib import Path
from gradcon_ext import __main__, cli

def run(args):
    try:
        Path("begun").touch()
        time.sleep(600)
    finally:
        Path("interrupted").touch()
        time.sleep(600)

cli.info.run = run
sys.argv = ["gradcon", "info"]
sys.exit(__main__.main())
"""


def test_the_second_interrupt_ends_it_at_once(tmp_path: Path) -> None:
    process = started(tmp_path, sys.executable, "-c", SLOW_TO_TIDY_UP)
    for file in ("begun", "interrupted"):
        wait_for(tmp_path / file, process)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LONG)
    assert (process.returncode, out, err) == (-signal.SIGINT, "", "")


IN_A_DESTRUCTOR = """
import sys, time
from pathlib import Path
from gradcon_ext import __main__, cli

class Slow:
    def __del__(self):
        Path("begun").touch()
        time.sleep(600)

def run(args):
    Slow()
    time.sleep(600)

cli.info.run = run
sys.argv = ["gradcon", "info"]
sys.exit(__main__.main())
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_where_python_ignores_exceptions_is_not_lost(tmp_path: Path, number: int, code: int) -> None:
    process = started(tmp_path, sys.executable, "-c", IN_A_DESTRUCTOR)
    wait_for(tmp_path / "begun", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == code, err
    assert (out, err.count("\n")) == ("", 1)


def test_an_interrupt_that_is_ignored_stays_so(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + SLOW_TO_TIDY_UP.replace("600", "1")
    process = started(tmp_path, sys.executable, "-c", code)
    wait_for(tmp_path / "begun", process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LONG)
    assert process.returncode == 0


def test_the_package_runs_as_the_script_does(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gradcon_ext", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, run(tmp_path, "--version").stdout)
