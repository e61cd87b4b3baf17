"""`gradcon info`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gradcon_ext._install.build_facts import build_info
from gradcon_ext.cli import arguments
from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.facts import read_detector
from gradcon_ext.detector.place import detector_file

_DETAILS = """\
Of the installation: versions, the instruction set in use, CUDA architectures.
Of a detector: model, what decides and how it is calibrated, preprocessing, and
the facts of its training.
"""

_EXAMPLES = """\
  gradcon info
  gradcon info runs/mnist-8
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "say what this installation, or a detector, is made of"
    parser = arguments.add_command(commands, "info", summary, _DETAILS, _EXAMPLES)
    parser.add_argument(
        "detector", metavar="DETECTOR", type=arguments.path, nargs="?", help="a run's folder, or a detector's file"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Print the facts, one a line."""
    facts = asdict(build_info()) if args.detector is None else _facts(detector_file(args.detector))
    for name, value in _flat(facts):
        print(f"{name}: {value}")


def _facts(path: Path) -> dict[str, Any]:
    file = read_detector(path)
    facts = file.facts
    return {
        "file": path,
        "model": facts["architecture"] or facts["training"].get("model", "a custom one"),
        "constrained layers": facts["layers"],
        "gradients averaged": facts["count"],
        "alpha": facts["alpha"],
        **({} if facts["balance"] is None else {"balance": facts["balance"]}),
        "decides": facts["part"],
        "calibration": "none, so there are no verdicts" if file.calibration is None else _calibration(file.calibration),
        "preprocessing": facts["preprocessing"],
        "training": {name: fact for name, fact in facts["training"].items() if name not in ("model", "layers")},
    }


def _calibration(calibration: Calibration) -> dict[str, Any]:
    return {
        "images": calibration.count,
        "false-alarm rate": calibration.rate,
        "least false-alarm rate": calibration.least_rate,
    }


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield prefix + name, ", ".join(map(str, value)) or "none"
        else:
            yield prefix + name, f"{value:g}" if isinstance(value, float) else str(value)
