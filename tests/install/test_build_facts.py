"""build_info tells the truth about the build and the process."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gradcon_ext import build_info
from gradcon_ext._install import build_facts
from gradcon_ext._install.torch_versions import is_too_old
from support.threads import torch_threads


def test_version_is_that_of_the_installed_package() -> None:
    assert build_info().version == importlib.metadata.version("gradcon_ext")


def test_torch_versions() -> None:
    info = build_info()
    assert info.torch_running == torch.__version__
    assert not is_too_old(info.torch_built_against)


def test_compiler_has_a_name_and_a_version() -> None:
    assert re.match(r"(GCC|Clang) \d+\.", build_info().compiler)


@pytest.mark.parametrize(("compiled", "told"), [("", ()), ("9.0", ("9.0",)), ("8.0;9.0+PTX", ("8.0", "9.0+PTX"))])
def test_architectures_are_those_compiled_for(compiled, told, monkeypatch) -> None:
    monkeypatch.setattr(build_facts.runtime, "cuda_architectures", compiled)
    assert build_info().cuda_architectures == told


def test_threads_are_those_of_now() -> None:
    for threads in (1, 3):
        with torch_threads(threads):
            assert build_info().threads == threads


def test_facts_can_be_written_as_json() -> None:
    facts = dataclasses.asdict(build_info())
    assert json.loads(json.dumps(facts))["version"] == facts["version"]


def capability_of_a_process(folder: Path, asked: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", "import gradcon_ext; print(gradcon_ext.build_info().cpu_capability)"],
        cwd=folder,  # Not the source folder, which would hide the installed package.
        env=os.environ | {"GRADCON_CPU_CAPABILITY": asked},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_capability_can_be_lowered_to_the_baseline(tmp_path: Path) -> None:
    assert capability_of_a_process(tmp_path, "default") == "default"


def test_a_processor_with_avx512_can_be_asked_for_either_kind(tmp_path: Path) -> None:
    best = capability_of_a_process(tmp_path, "")
    if not best.startswith("avx512"):
        pytest.skip("this processor has no AVX-512")
    for asked in ("avx512", "avx512_split"):
        assert capability_of_a_process(tmp_path, asked) == asked
