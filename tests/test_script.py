from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

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
