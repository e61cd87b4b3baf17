"""Timing against a baseline in the same run, and a table of the ratios at the end."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

import gradcon_ext
from benchmarks import THREADS
from benchmarks.timing import Timed
from benchmarks.workload import Workload, autoencoder

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


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(THREADS)
    gradcon_ext.keep_freed_memory()


@pytest.fixture
def setup() -> Workload:
    return autoencoder()


@pytest.fixture
def compare(benchmark, request):
    """Times a contender; before each of its rounds the baseline runs once, so both see the same machine.

    Machines have slow spells of seconds. So the ratio is the median of those of single rounds: the medians of the two
    could come from different spells.
    """

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
        baseline()  # The first runs fill caches and pools.
        contender()
        timed, timed_baseline = Timed(contender), Timed(baseline)

        def run_baseline() -> None:
            timed_baseline.settle()
            timed_baseline()
            timed.settle()

        benchmark.group = question
        benchmark.pedantic(timed, setup=run_baseline, rounds=rounds)
        rounds_of_both = zip(timed.seconds, timed_baseline.seconds, strict=True)
        ratio = statistics.median(seconds / those_of_baseline for seconds, those_of_baseline in rounds_of_both)
        threads = torch.get_num_threads()
        setting = f"{samples} samples, {threads} threads, CPU, float32, in memory, no transfers"
        benchmark.extra_info.update(setting=setting, ratio=ratio, baseline=baseline_name)
        row = Row(question, name, timed.median / samples * 1e6, baseline_name, ratio, setting)
        request.config.stash.setdefault(_ROWS, []).append(row)
        return ratio

    return run


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    terminalreporter.section("medians of ratios, each contender in turn with its baseline")
    terminalreporter.write_line(str(gradcon_ext.build_info()))
    for question in dict.fromkeys(row.question for row in rows):
        terminalreporter.write_line(f"\n{question}")
        for row in rows:
            if row.question == question:
                terminalreporter.write_line(
                    f"  {row.contender:44s} {row.microseconds:9.1f} us/sample {row.ratio:8.2f} x {row.baseline}"
                    f"  ({row.setting})"
                )
