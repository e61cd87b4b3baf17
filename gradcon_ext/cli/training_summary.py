"""What `gradcon train` says when it has finished."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradcon_ext.cli.finishing import Finished
from gradcon_ext.cli.training_images import TrainingImages
from gradcon_ext.data.images import as_image_dataset
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.facts import scores_tiles
from gradcon_ext.detector.place import DETECTOR
from gradcon_ext.training.run_contents import HISTORY


def summarise(finished: Finished, images: TrainingImages, args: argparse.Namespace) -> None:
    """Print how the training went, what decides, and which command comes next."""
    facts = finished.detector.training
    print(
        f"Trained on {_of_what(finished.detector, images)} for {facts['seconds']:.0f} s. Of {_how_long(facts)}, "
        f"number {facts['best_epoch']} was the best, with validation objective {facts['validation_objective']:.4f}.\n"
        f"The detector is {args.out / DETECTOR}."
    )
    if facts["best_epoch"] == facts["epochs"]:
        print("The last epoch was the best: more epochs may help, by --resume --epochs N.")
    _warn_of_poor_reconstructions(args.out / HISTORY, facts)
    print(finished.report(images))
    if args.dataset:
        known = args.data_root is None or str(args.data_root) == os.environ.get("GRADCON_DATA")
        print(f"Next: gradcon evaluate {args.out}{'' if known else f' --data-root {args.data_root}'}")
    else:
        print(
            f"Next: gradcon score {args.out} IMAGES, or gradcon evaluate {args.out} --inliers FOLDER --outliers FOLDER"
        )


def _how_long(facts: Mapping[str, Any]) -> str:
    epochs, lead_in = facts["epochs"], facts.get("lead_in", 0)
    return f"{epochs} epoch{'' if epochs == 1 else 's'}{f' after a lead-in of {lead_in}' if lead_in else ''}"


def _of_what(detector: Detector, images: TrainingImages) -> str:
    count = detector.training["train_images"]
    if not scores_tiles(detector.preprocessing):
        return f"{count} images"
    return f"{count} tiles of {len(as_image_dataset(images.train))} images"


def _warn_of_poor_reconstructions(history: Path, facts: Mapping[str, Any]) -> None:
    """Warn if the epoch that was kept reconstructs no better than a model that ignores its input."""
    entries = [json.loads(line) for line in history.read_text().splitlines()]
    kept = next(
        entry for entry in entries if (entry["attempt"], entry["epoch"]) == (facts["attempt"], facts["best_epoch"])
    )
    loss, of_mean_image = kept["validation_reconstruction"], kept["validation_mean_image"]
    if loss >= of_mean_image:
        print(
            f"Warning: the reconstructions are no better than the mean image (loss {loss:.4g}, "
            f"that of the mean image {of_mean_image:.4g}). Scores will tell little; train for more epochs, or "
            "with another --lr or --batch-size."
        )
