"""What is compiled, and how, and what it needs. Everything else about the package stands in pyproject.toml."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gradcon_build import BuildStopped, runtime_only, torch_versions  # backend-path in pyproject.toml
from setuptools import Extension, setup

RUNTIME_DEPENDENCIES = ["numpy>=1.26", "safetensors>=0.4.5"]
DEPENDENCIES = [
    *RUNTIME_DEPENDENCIES,
    torch_versions.REQUIREMENT,
    "filelock>=3.30.3",  # older ones give a lock back in a forked child too
    "matplotlib>=3.8",
    "pillow>=10.3",
    "pooch>=1.8",
    "scikit-learn>=1.6",
    "scipy>=1.11",
    "threadpoolctl>=3.1",
    "tomlkit>=0.12",
    "tqdm>=4.66",
]

# Instruction sets are chosen inside the sources and at run time: nothing here depends on the machine at hand.
# Some Pythons ask for debug information, which would be three quarters of what is installed.
CXX_FLAGS = ["-O3", "-g0", "-ffp-contract=fast", "-fvisibility=hidden", "-Wall", "-Wextra"]
# The stable ABI declares what it offers for CUDA only under USE_CUDA.
NVCC_FLAGS = ["-O3", "-DUSE_CUDA", "-Xcompiler=-fvisibility=hidden"]
CUDA_ARCHITECTURES = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]  # and PTX of the last
# Absolute, because ninja compiles from a folder of its own.
CSRC = str(Path("csrc").resolve())


def sources(pattern: str) -> list[str]:
    """The files of csrc/ that match, relative to this folder."""
    return sorted(path.as_posix() for path in Path("csrc").glob(pattern))


def torchless_sources() -> list[str]:
    """The sources of the CPU that know nothing of torch."""
    return [*sources("core/*.cpp"), *sources("cpu/*.cpp")]


def flags(system_includes: list[str]) -> dict[str, list[str]]:
    """Compiler flags. Headers that are not ours come as system headers, which no warning is raised for."""
    strict = ["-Werror"] if os.environ.get("GRADCON_WERROR") == "1" else []
    folders = [*system_includes, sysconfig.get_path("include")]
    system = [flag for folder in folders for flag in ("-isystem", folder)]
    # No folder goes to nvcc: torch takes any flag with "arch" in it, as in /research/, for a choice of architectures.
    return {"cxx": [*CXX_FLAGS, *strict, *system], "nvcc": NVCC_FLAGS}


def find_toolkit() -> None:
    """Tell torch by CUDA_HOME where the toolkit is whose nvcc is on the PATH, which may be a wrapper elsewhere."""
    nvcc = shutil.which("nvcc")
    if nvcc is None or os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH"):
        return
    steps = subprocess.run(
        [nvcc, "--dryrun", "-x", "cu", "-c", os.devnull], capture_output=True, text=True, check=False
    )
    place = re.search(r"^#\$ _HERE_=(.*)$", steps.stderr, re.MULTILINE)
    if place is not None:
        os.environ["CUDA_HOME"] = str(Path(place[1]).parent)


def with_cuda() -> bool:
    """Whether the .cu files are compiled: GRADCON_CUDA says, or else torch and the toolkit at hand."""
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    asked = os.environ.get("GRADCON_CUDA") or "auto"
    if asked not in ("0", "1", "auto"):
        raise BuildStopped(f"GRADCON_CUDA must be 0 or 1, got {asked!r}.", "unset GRADCON_CUDA")
    if asked == "0":
        return False
    if torch.version.cuda is None:
        lack = f"torch {torch.__version__} was built without CUDA"
    elif CUDA_HOME is None:
        lack = "no CUDA toolkit was found (CUDA_HOME says where one is)"
    else:
        return True
    if asked == "1":
        raise BuildStopped(f"GRADCON_CUDA=1, but {lack}.", "GRADCON_CUDA=0 pip install .")
    print(f"gradcon_ext is built for the CPU only: {lack}.")
    return False


def cuda_architectures() -> str:
    """What nvcc compiles for, such as "8.0;9.0+PTX"; put into TORCH_CUDA_ARCH_LIST, from where torch takes it."""
    asked = os.environ.get("TORCH_CUDA_ARCH_LIST") or default_architectures()
    os.environ["TORCH_CUDA_ARCH_LIST"] = ";".join(asked.replace(";", " ").split())
    return os.environ["TORCH_CUDA_ARCH_LIST"]


def default_architectures() -> str:
    """CUDA_ARCHITECTURES as far as the nvcc at hand knows them."""
    from torch.utils.cpp_extension import CUDA_HOME

    nvcc = Path(str(CUDA_HOME), "bin", "nvcc")
    known = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout.split()
    wanted = [name for name in CUDA_ARCHITECTURES if f"compute_{name.replace('.', '')}" in known]
    return ";".join(wanted) + "+PTX"


def ops(cuda: bool) -> Extension:
    """gradcon_ext._C: the ops, on the stable ABI of the oldest torch that is supported."""
    from torch.utils.cpp_extension import CppExtension, CUDAExtension, include_paths

    major, minor = torch_versions.release(torch_versions.OLDEST)
    options: dict[str, Any] = {
        "include_dirs": [CSRC],
        "define_macros": [("TORCH_TARGET_VERSION", f"0x{major:02x}{minor:02x}000000000000")],
        "extra_compile_args": flags(include_paths("cuda" if cuda else "cpu")),
        # Python without its global lock has no limited API.
        "py_limited_api": not sysconfig.get_config_var("Py_GIL_DISABLED"),
    }
    cpu_sources = ["csrc/ops.cpp", *torchless_sources(), *sources("torch/cpu/*.cpp")]
    if cuda:
        cuda_sources = [*sources("cuda/*.cu"), *sources("torch/cuda/*.cu")]
        return CUDAExtension("gradcon_ext._C", [*cpu_sources, *cuda_sources], **options)
    return CppExtension("gradcon_ext._C", cpu_sources, **options)


def runtime(files: list[str], compile_args: Any, torch_version: str = "", architectures: str = "") -> Extension:
    """gradcon_ext._runtime: the facts of this build, and scores without torch."""
    facts = {
        "GRADCON_VERSION": runpy.run_path("gradcon_ext/version.py")["__version__"],
        "GRADCON_TORCH_VERSION": torch_version,
        "GRADCON_CUDA_ARCHITECTURES": architectures,
    }
    return Extension(
        "gradcon_ext._runtime",
        files,
        include_dirs=[CSRC],
        define_macros=[(name, f'"{value}"') for name, value in facts.items()],
        extra_compile_args=compile_args,
        language="c++",
    )


def with_torch() -> dict[str, Any]:
    """The compiled part of setup()'s arguments, for all of the package."""
    find_toolkit()  # before torch looks for it
    import pybind11
    import torch
    from torch.utils.cpp_extension import BuildExtension

    class Build(BuildExtension):
        """Compiles what knows nothing of torch once, with the ops, and links it into both modules."""

        def build_extension(self, ext: Extension) -> None:
            if ext.name == "gradcon_ext._runtime":
                ext.extra_objects = self.compiler.object_filenames(torchless_sources(), output_dir=self.build_temp)
            super().build_extension(ext)

    architectures = cuda_architectures() if with_cuda() else ""
    compile_args = flags([pybind11.get_include()])
    extensions = [
        ops(cuda=bool(architectures)),
        runtime(["csrc/runtime.cpp"], compile_args, torch.__version__, architectures),
    ]
    return {"ext_modules": extensions, "cmdclass": {"build_ext": Build}}


def without_torch() -> dict[str, Any]:
    """The same for `gradcon_ext.runtime` alone."""
    import pybind11
    from pybind11.setup_helpers import ParallelCompile

    ParallelCompile("MAX_JOBS").install()  # as torch compiles
    compile_args = ["-std=c++20", *flags([pybind11.get_include()])["cxx"]]
    return {"ext_modules": [runtime(["csrc/runtime.cpp", *torchless_sources()], compile_args)]}


def compiled() -> dict[str, Any]:
    """The compiled part of setup()'s arguments."""
    # Metadata and source distributions need none of these; the backend refuses to build without.
    if find_spec("pybind11") is None:
        return {}
    if runtime_only():
        return without_torch()
    return with_torch() if find_spec("torch") is not None else {}


setup(install_requires=RUNTIME_DEPENDENCIES if runtime_only() else DEPENDENCIES, **compiled())
