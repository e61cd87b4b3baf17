"""The PEP 517 build backend: that of setuptools, which here also sees the torch that is already installed.

pip builds in an isolated environment, which only holds the build requirements. Naming torch among them would
compile against a second torch that pip fetches, and that need not be the one the package will run with.
"""

from __future__ import annotations

import importlib.metadata
import os
import runpy
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from setuptools import build_meta

Settings = dict[str, Any] | None

torch_versions = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).parents[1] / "gradcon_ext" / "_install" / "torch_versions.py"))
)

PROBE = """
#include <Python.h>
#include <bit>
typedef float Vector __attribute__((vector_size(16)));
Vector interleaved(Vector a, Vector b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
int main() { return std::popcount(0u); }
"""

prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = build_meta.prepare_metadata_for_build_editable
get_requires_for_build_sdist = build_meta.get_requires_for_build_sdist
build_sdist = build_meta.build_sdist


def see_installed_packages() -> None:
    """Put the environment that is installed into behind the isolated one on sys.path and PATH.

    Inside pip's isolation sys.prefix is still that of the environment. Every hook runs in a process of its own
    that imports this module.
    """
    folders = site.getsitepackages()
    if sys.prefix == sys.base_prefix:
        folders.append(site.getusersitepackages())
    sys.path.extend(folder for folder in folders if folder not in sys.path)
    os.environ["PATH"] += os.pathsep + sysconfig.get_path("scripts")


see_installed_packages()


class BuildStopped(SystemExit):
    """Ends a build with the problem and the one command that mends it."""

    def __init__(self, problem: str, command: str) -> None:
        super().__init__(f"\n{problem}\nTo mend it, run:\n\n    {command}\n")


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Torch, where the environment has none and the build is with torch."""
    return [] if runtime_only() or installed_torch() else [torch_versions.REQUIREMENT]


get_requires_for_build_editable = get_requires_for_build_wheel


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Compile the package into a wheel."""
    for leftover in Path("build").glob("lib*"):
        shutil.rmtree(leftover)  # setuptools would pack modules that have left the source since.
    with remedies():
        return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Compile the package in place."""
    with remedies():
        return build_meta.build_editable(wheel_directory, config_settings, metadata_directory)


@contextmanager
def remedies() -> Iterator[None]:
    """Check what a build needs, and end one that fails with the command that mends it."""
    if not runtime_only() and installed_torch() is None:
        raise BuildStopped("gradcon_ext compiles against torch, and none is installed.", torch_command())
    if shutil.which("ninja") is None or find_spec("pybind11") is None:
        raise BuildStopped("gradcon_ext is built with ninja and pybind11.", "pip install ninja pybind11")
    check_compiler()
    try:
        yield
    except BuildStopped:
        raise
    except (Exception, SystemExit):
        traceback.print_exc()
        raise BuildStopped(
            "The build failed, and the first error above says why. Where memory ran out, compile one file at "
            "a time; where a .cu file failed, GRADCON_CUDA=0 leaves CUDA out.",
            "MAX_JOBS=1 pip install .",
        ) from None


def runtime_only() -> bool:
    """Whether only `gradcon_ext.runtime` is built, which needs no torch: GRADCON_RUNTIME says.

    Raises:
        BuildStopped: it says neither 0 nor 1.
    """
    asked = os.environ.get("GRADCON_RUNTIME") or "0"
    if asked not in ("0", "1"):
        raise BuildStopped(f"GRADCON_RUNTIME must be 0 or 1, got {asked!r}.", "unset GRADCON_RUNTIME")
    return asked == "1"


def installed_torch() -> str | None:
    """The version of torch to compile against, if there is one.

    Raises:
        BuildStopped: It is too old, so pip would replace it after this build.
    """
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None
    if torch_versions.is_too_old(version):
        problem = f"torch {version} is installed, and gradcon_ext runs with {torch_versions.REQUIREMENT}."
        raise BuildStopped(problem, torch_command())
    return version


def torch_command() -> str:
    """What installs a torch that the package runs with."""
    return f"pip install '{torch_versions.REQUIREMENT}'"


def check_compiler() -> None:
    """Compile a few lines that need what the sources need: C++20, vector shuffles and the headers of Python.

    Raises:
        BuildStopped: They do not compile.
    """
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    flags = ["-std=c++20", "-fsyntax-only", f"-I{sysconfig.get_path('include')}", "-x", "c++", "-"]
    try:
        subprocess.run([*compiler, *flags], input=PROBE, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        problem = f"there is no {compiler[0]}"
    except subprocess.CalledProcessError as error:
        problem = error.stderr.strip()
    else:
        return
    raise BuildStopped(
        f"gradcon_ext needs GCC 12, Clang 14 or newer, and the headers of Python: {problem}", compiler_command()
    )


def compiler_command() -> str:
    """What installs a C++ compiler and Python's headers here."""
    commands = {
        "apt-get": f"sudo apt-get install g++-12 python3.{sys.version_info.minor}-dev && CXX=g++-12 pip install .",
        "dnf": "sudo dnf install gcc-c++ python3-devel",
        "zypper": "sudo zypper install gcc-c++ python3-devel",
        "pacman": "sudo pacman -S gcc",
        "xcode-select": "xcode-select --install",
    }
    conda = "conda install -c conda-forge cxx-compiler"
    return next((command for manager, command in commands.items() if shutil.which(manager)), conda)
