"""Timing against a baseline in the same run, and a table of the ratios at the end."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import gradcon_ext
from gradcon_ext.models import ConvAutoencoder

THREADS = 2
_ROWS = pytest.StashKey[list["Row"]]()


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    question: str
    contender: str
    microseconds: float
    baseline: str
    ratio: float
    setting: str


@dataclass
class Setup:
    """The paper's autoencoder for 3x28x28 images, random references, and random images in memory."""

    model: ConvAutoencoder
    references: dict[str, Tensor]
    images: Tensor


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(THREADS)


@pytest.fixture
def setup() -> Setup:
    torch.manual_seed(0)
    model = ConvAutoencoder(channels=3).eval()
    references = {
        name: torch.randn_like(weight)
        for name, weight in model.named_parameters()
        if name.startswith("decoder") and name.endswith("weight")
    }
    return Setup(model, references, torch.rand(512, 3, 28, 28))


@pytest.fixture
def compare(benchmark, request):
    """Times a contender; before each of its rounds the baseline runs once, so both see the same machine."""

    def run(
        contender: Callable[[], object],
        baseline: Callable[[], object],
        *,
        question: str,
        name: str,
        baseline_name: str,
        samples: int,
        rounds: int = 15,
    ) -> float:
        baseline_times = []

        def time_baseline() -> None:
            begin = time.perf_counter()
            baseline()
            baseline_times.append(time.perf_counter() - begin)

        benchmark.group = question
        baseline()  # The first runs fill caches and pools.
        contender()
        benchmark.pedantic(contender, setup=time_baseline, rounds=rounds)
        ratio = benchmark.stats.stats.median / statistics.median(baseline_times)
        setting = f"batch {samples}, {torch.get_num_threads()} threads, CPU, float32, images in memory"
        benchmark.extra_info.update(setting=setting, ratio=ratio, baseline=baseline_name)
        row = Row(question, name, benchmark.stats.stats.median / samples * 1e6, baseline_name, ratio, setting)
        request.config.stash.setdefault(_ROWS, []).append(row)
        return ratio

    return run


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    terminalreporter.section("ratios of medians, each contender in turn with its baseline")
    terminalreporter.write_line(str(gradcon_ext.build_info()))
    for question in dict.fromkeys(row.question for row in rows):
        terminalreporter.write_line(f"\n{question}")
        for row in rows:
            if row.question == question:
                terminalreporter.write_line(
                    f"  {row.contender:44s} {row.microseconds:9.1f} us/sample {row.ratio:8.2f} x {row.baseline}"
                    f"  ({row.setting})"
                )
