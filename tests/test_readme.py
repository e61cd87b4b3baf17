from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradcon_ext.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^gradcon (\w+)", README, re.MULTILINE)


@pytest.mark.parametrize("block", PYTHON, ids=[f"block {number}" for number in range(1, len(PYTHON) + 1)])
def test_the_python_in_the_readme_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})
    assert ("print(" in block) == bool(capsys.readouterr().out)


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_the_commands_in_the_readme_exist(command: str, capsys) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: gradcon {command}" in capsys.readouterr().out
