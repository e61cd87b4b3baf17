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
    """Its name with family and model, for one name may be that of several generations."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = entries.get("model name")
    if name is None:
        return f"a {platform.machine()} processor"
    generation = f" (family {entries['cpu family']}, model {entries['model']})" if "cpu family" in entries else ""
    return f"{_article(name)} {name}{generation}"


def _article(name: str) -> str:
    return "an" if name[0] in "AEIOU" else "a"
