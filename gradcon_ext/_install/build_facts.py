"""What this installation is made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gradcon_ext._install.ops import runtime


@dataclass(frozen=True)
class BuildInfo:
    """The facts of a build and of the process that runs it.

    Attributes:
        version: Of gradcon_ext.
        torch_built_against: The torch that the ops were compiled against.
        torch_running: The torch of this process.
        cpu_capability: The instruction set of the CPU kernels: "default", "avx2", "avx512", or "avx512_split" where its
            vectors are executed in halves.
        cuda_architectures: Those compiled for, such as ("8.0", "9.0+PTX"); empty in a build without CUDA.
        compiler: Name and version of the C++ compiler.
        threads: How many threads an op may use.
    """

    version: str
    torch_built_against: str
    torch_running: str
    cpu_capability: str
    cuda_architectures: tuple[str, ...]
    compiler: str
    threads: int


def build_info() -> BuildInfo:
    """The facts of this build and process."""
    return BuildInfo(
        version=runtime.version,
        torch_built_against=runtime.torch_version,
        torch_running=str(torch.__version__),
        cpu_capability=runtime.cpu_capability(),
        cuda_architectures=tuple(runtime.cuda_architectures.split(";")) if runtime.cuda_architectures else (),
        compiler=runtime.compiler,
        threads=torch.get_num_threads(),
    )
