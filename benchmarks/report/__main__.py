"""Measures every bar in one run: `python -m benchmarks.report [--quick] [--out FOLDER]`."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks import THREADS
from benchmarks.report import any_model, bars, charts, gpu, layers, measure, processes, scaling
from benchmarks.report.effort import FULL, QUICK, Effort
from benchmarks.report.facts import facts
from benchmarks.report.page import page
from benchmarks.report.peak import multiply_adds_a_second
from benchmarks.report.streaming import peak_memory
from benchmarks.timing import Measurement
from gradcon_ext import keep_freed_memory

_BENCHMARKS = Path(__file__).parents[1]
_RESULTS = _BENCHMARKS / "results"
Printed = TypeVar("Printed", bound=Iterable[object])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="show that it works, in a minute or two")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="folder of report.json and the charts")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(THREADS)
    keep_freed_memory()  # for every contender
    command = "python -m benchmarks.report" + (" --quick" if arguments.quick else "")
    about = facts(command)
    effort = QUICK if arguments.quick else FULL
    begin = time.perf_counter()
    measured = _measured(effort)
    about["duration"] = f"{time.perf_counter() - begin:.0f} s"
    write(about, measured, out, quick=arguments.quick)


def write(about: dict[str, str], measured: dict[str, Any], out: Path, quick: bool) -> None:
    """Write report.json and the charts to `out`, and the page beside it where that is the folder of the repository."""
    lines = _bars(measured)
    report = {"facts": about, "bars": [{**asdict(bar), "verdict": bar.verdict} for bar in lines]}
    report |= {name: _plain(result) for name, result in measured.items()}
    (out / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    subtitle = f"{THREADS} threads, {about['machine']} ({about['instruction set']}), {about['date']}"
    charts.draw_scores(measured["scores"], subtitle, out / "score.png")
    charts.draw_scaling(measured["scaling"], subtitle, out / "scaling.png")
    folder = _BENCHMARKS if out == _RESULTS else out
    notes = ["**A quick run: these numbers show that it works, and little else.**"] if quick else []
    text = page(about, lines, notes, "" if folder == out else f"{os.path.relpath(out, folder)}/")
    (folder / "README.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")


def _measured(effort: Effort) -> dict[str, Any]:
    setting = f"{THREADS} threads, CPU, float32, in memory, no transfers"
    measured: dict[str, Any] = {"peak": multiply_adds_a_second(), "gpu": None}
    if torch.cuda.is_available():
        measured["gpu"] = _printed("GPU, images there, scores brought back", gpu.measurements("cuda", effort))
    measured["scores"] = _printed(f"complete score ({setting})", measure.scores(effort))
    measured["one_image"] = _printed(f"one image ({setting})", measure.one_image(effort))
    measured["training"] = _printed(f"training step ({setting})", measure.training_steps(effort))
    measured["training_sizes"] = _printed_by_size("training step", measure.training_steps_of_sizes(effort))
    measured["layers"] = _printed(f"alignment op alone ({setting})", layers.costs(effort))
    measured["any_model"] = _printed(f"any-model path ({setting})", any_model.costs(effort))
    measured["first_score"] = processes.first_scores(effort)
    measured["scaling"] = {
        panel.title: _printed(f"cost over {panel.title} ({setting})", scaling.costs(panel, effort))
        for panel in scaling.PANELS
    }
    measured["peak_mib_of_the_report"] = peak_memory() // 1024
    measured["stream"] = processes.stream(effort)
    measured["large_images_kib"] = processes.large_images()
    return measured


def _bars(measured: dict[str, Any]) -> list[bars.Bar]:
    return [
        *bars.of_scores(measured["scores"]),
        *bars.of_scaling(measured["scaling"], measured["peak"]),
        bars.of_one_image(measured["one_image"]),
        bars.of_layers(measured["layers"]),
        bars.of_any_model(measured["any_model"]),
        bars.of_stream(measured["stream"]),
        bars.of_large_images(measured["large_images_kib"]),
        bars.of_first_score(measured["first_score"]),
        *bars.of_training(measured["training"]),
        bars.of_training_sizes(measured["training_sizes"]),
        *bars.of_gpu(measured["gpu"]),
    ]


def _plain(result: Any) -> Any:
    """Dataclasses as dictionaries."""
    if isinstance(result, list):
        return [asdict(item) for item in result]
    if isinstance(result, dict):
        return {key: _plain(value) for key, value in result.items()}
    return result


def _printed(title: str, lines: Printed) -> Printed:
    print(f"\n{title}", *(f"  {line}" for line in lines), sep="\n", flush=True)
    return lines


def _printed_by_size(title: str, measured: dict[int, list[Measurement]]) -> dict[int, list[Measurement]]:
    for size, lines in measured.items():
        _printed(f"{title}, {size} pixels", lines)
    return measured


if __name__ == "__main__":
    main()
