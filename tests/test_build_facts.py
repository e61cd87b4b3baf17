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

import torch

from gradcon_ext import build_info


def test_version_is_that_of_the_installed_package() -> None:
    assert build_info().version == importlib.metadata.version("gradcon_ext")


def test_torch_versions() -> None:
    info = build_info()
    assert info.torch_running == torch.__version__
    assert re.match(r"2\.1[0-3]\.", info.torch_built_against)


def test_compiler_has_a_name_and_a_version() -> None:
    assert re.match(r"(GCC|Clang) \d+\.", build_info().compiler)


def test_architectures_are_of_a_build_with_cuda() -> None:
    architectures = build_info().cuda_architectures
    assert all(re.fullmatch(r"[\w.+]+", architecture) for architecture in architectures)
    assert not architectures or torch.version.cuda


def test_threads_are_those_of_now() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert build_info().threads == threads + 1
    finally:
        torch.set_num_threads(threads)


def test_facts_can_be_written_as_json() -> None:
    facts = dataclasses.asdict(build_info())
    assert json.loads(json.dumps(facts))["version"] == facts["version"]


def test_the_capability_can_be_lowered_to_the_baseline(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import gradcon_ext; print(gradcon_ext.build_info().cpu_capability)"],
        cwd=tmp_path,  # Not the source folder, which would hide the installed package.
        env=os.environ | {"GRADCON_CPU_CAPABILITY": "default"},
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == "default", result.stderr
