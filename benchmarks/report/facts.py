"""What a run of the report ran on."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

import torch

import gradcon_ext
from benchmarks import THREADS


def facts(command: str) -> dict[str, str]:
    """The machine, the versions, the date and the command, in words."""
    build = gradcon_ext.build_info()
    return {
        "machine": f"{os.cpu_count()} cores of {_processor()}",
        "threads": str(THREADS),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "instruction set": f"gradcon_ext {build.cpu_capability}, torch {torch.backends.cpu.get_cpu_capability()}",
        "versions": f"gradcon_ext {build.version} ({build.compiler}), torch {torch.__version__}, "
        f"Python {platform.python_version()}",
        "load before the run": f"{os.getloadavg()[0]:.1f}",
        "date": datetime.date.today().isoformat(),
        "command": command,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{_article(names[0])} {names[0]}" if names else f"a {platform.machine()} processor"


def _article(name: str) -> str:
    return "an" if name[0] in "AEIOU" else "a"
