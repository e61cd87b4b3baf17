"""What only fresh processes can tell: the time to a first score, and peak memory."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import THREADS
from benchmarks.report.effort import Effort
from benchmarks.workload import autoencoder
from gradcon_ext import Detector

LARGE_SIZES = (256, 1024)

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]


def stream(effort: Effort) -> dict[str, Any]:
    """Peak memory after the one and after the other number of images."""
    numbers = [str(number) for number in effort.streamed]
    return json.loads(_run("-m", "benchmarks.report.streaming", *numbers, cwd=_ROOT))


def large_images() -> dict[int, int]:
    """Peak memory of scoring, beyond the images, in KiB, by their size."""
    return {size: int(_run("-m", "benchmarks.report.large_images", str(size), cwd=_ROOT)) for size in LARGE_SIZES}


def first_scores(effort: Effort) -> dict[str, float]:
    """Medians over processes that import `gradcon_ext.runtime`, read a detector and an image, and score it."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = _files(Path(folder))
        _first_score(arguments)  # Reads everything into the file cache.
        runs = [_first_score(arguments) for _ in range(effort.processes)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _files(folder: Path) -> list[str]:
    workload = autoencoder(samples=1)
    preprocessing = {"channels": 3, "size": [28, 28]}
    Detector(workload.model, workload.references, 1, preprocessing=preprocessing).save(folder / "detector.safetensors")
    np.save(folder / "image.npy", workload.images.numpy())
    return [str(folder / "detector.safetensors"), str(folder / "image.npy"), str(THREADS)]


def _first_score(arguments: list[str]) -> dict[str, float]:
    begin = time.perf_counter()
    output = _run(str(_HERE / "first_score.py"), *arguments)
    return {**json.loads(output), "process": time.perf_counter() - begin}


def _run(*arguments: str, cwd: Path | None = None) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True, cwd=cwd).stdout
