"""The folder of a C++ file tells what it may use, and code for one instruction set stays within its variant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[1] / "csrc"
FILES = sorted(path for path in CSRC.rglob("*") if path.suffix in {".hpp", ".cpp", ".inl", ".cuh", ".cu"})
VARIANTS = sorted(CSRC.glob("cpu/kernels_*.cpp"))
MAY_INCLUDE = {
    "core": {"core"},
    "cpu": {"core", "cpu"},
    "cuda": {"core", "cuda"},
    "torch": {"core", "torch"},
    "torch/cpu": {"core", "cpu", "torch", "torch/cpu"},
    "torch/cuda": {"core", "cuda", "torch", "torch/cuda"},
    "python": {"python"},
    ".": {"core", "cpu", "python"},  # The two modules.
}
STANDARD = re.compile(r"^#include <(\w+)>$", re.MULTILINE)


def name(path: Path) -> str:
    return path.relative_to(CSRC).as_posix()


def folder(path: Path) -> str:
    return path.parent.relative_to(CSRC).as_posix()


def standard_headers(path: Path) -> set[str]:
    return set(STANDARD.findall(path.read_text(encoding="utf-8")))


def everything_of_a_variant() -> list[Path]:
    """What a variant includes behind its pragma, at any depth."""
    found: list[Path] = []
    wanted = [CSRC / "cpu" / "kernels.inl"]
    while wanted:
        path = wanted.pop()
        if path in found:
            continue
        found.append(path)
        wanted += [CSRC / inner for inner in re.findall(r'#include "(.+)"', path.read_text(encoding="utf-8"))]
    return found


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_includes_what_its_folder_may(path: Path) -> None:
    for included in re.findall(r'#include "(.+)"', path.read_text(encoding="utf-8")):
        assert (CSRC / included).is_file(), f"{included} is included by its path from csrc/"
        assert folder(CSRC / included) in MAY_INCLUDE[folder(path)]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_folder_torch_and_the_catalogue_know_torch(path: Path) -> None:
    knows = "#include <torch/" in path.read_text(encoding="utf-8")
    assert not knows or folder(path).startswith("torch") or name(path) == "ops.cpp"


@pytest.mark.parametrize("path", VARIANTS, ids=name)
def test_standard_headers_come_before_the_instruction_set(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if "#pragma GCC target" not in source:
        return
    assert source.index('#include "core/standard_headers.hpp"') < source.index("#pragma")
    assert not standard_headers(path)


@pytest.mark.parametrize("path", everything_of_a_variant(), ids=name)
def test_every_standard_header_of_a_variant_has_been_included_before(path: Path) -> None:
    assert standard_headers(path) <= standard_headers(CSRC / "core" / "standard_headers.hpp")
