"""`gradcon evaluate`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcon_ext.cli import arguments
from gradcon_ext.cli.measured import measured
from gradcon_ext.cli.rows import score_rows, write_rows_file
from gradcon_ext.cli.run_files import load_detector
from gradcon_ext.cli.verdicts import judging, remark
from gradcon_ext.data import ImageFolder, read_image_folder
from gradcon_ext.data.images import Images
from gradcon_ext.data.masks import mask_path
from gradcon_ext.data.named_split import named_split
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.parts import PARTS
from gradcon_ext.detector.place import detector_file
from gradcon_ext.scoring.evaluation import evaluate_scores
from gradcon_ext.scoring.histogram import save_histogram
from gradcon_ext.scoring.pixel_evaluation import evaluate_pixels
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.storage.files import replace_file
from gradcon_ext.training.run_contents import (
    EVALUATION,
    EVALUATION_HISTOGRAM,
    EVALUATION_SCORES,
    refuse_to_replace_evaluation,
)

_DETAILS = f"""\
Prints of each loss and each combination of them the area under the ROC curve
(AUROC), where 1 is perfect and 0.5 is chance; average precision; the share of
normal images that score as high as 95 % of the anomalous ones; and of a
calibrated detector F1 and the numbers of right and wrong verdicts. All with
95 % intervals, from 1000 bootstrap resamples of the test images.

A detector of a data set's class is tested on all test images of that class and
on as many of the other classes, drawn with the run's seed. A detector of your
own images needs two folders. Outliers in folders of their own, such as kinds of
defects, are rated folder by folder too. Normal images below the folder of the
outliers are left out of these: --inliers test/good --outliers test.

OUT receives {EVALUATION}, {EVALUATION_SCORES} (one row an image) and {EVALUATION_HISTOGRAM}.
"""

_EXAMPLES = """\
  gradcon evaluate runs/mnist-8 --data-root data
  gradcon evaluate runs/photos --inliers good --outliers faulty
  gradcon evaluate runs/tiles --inliers test/good --outliers test --masks ground_truth
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "measure how well a detector tells outliers from inliers"
    parser = arguments.add_command(commands, "evaluate", summary, _DETAILS, _EXAMPLES)
    parser.add_argument("run_path", metavar="RUN", type=Path, help="a run's folder, or a detector's file")
    arguments.add_data_root(parser)
    parser.add_argument("--inliers", metavar="FOLDER", type=Path, help="normal images that were not trained on")
    parser.add_argument(
        "--outliers", metavar="FOLDER", type=Path, help="anomalous images; those of --inliers in it are left out"
    )
    parser.add_argument(
        "--masks",
        metavar="FOLDER",
        type=Path,
        help="masks of the outliers, <defect>/<name>_mask.png as in MVTec AD: pixel AUROC and PRO of each map",
    )
    parser.add_argument("--by", metavar="PART", choices=PARTS, help="the part of the score that decides")
    parser.add_argument(
        "--false-alarms",
        metavar="RATE",
        type=arguments.rate,
        help="share of normal images that may be called outliers (default: that of the detector)",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder of the results (default: that of the detector)")
    arguments.add_batch_size(parser, 512)
    arguments.add_device(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Score the test images, print the metrics, and write them down."""
    if (args.inliers is None) != (args.outliers is None):
        raise argparse.ArgumentError(None, "--inliers and --outliers go together")
    if args.masks is not None and args.outliers is None:
        raise argparse.ArgumentError(None, "--masks are of images in --outliers, which must be given")
    detector = judging(load_detector(args.run_path), args.by, args.false_alarms)
    out = args.out or detector_file(args.run_path).parent
    refuse_to_replace_evaluation(out)
    test = _two_folders(args, detector) if args.inliers else _named_test(args, detector)
    scorer = Scorer.from_detector(detector, device=args.device)
    scores = scorer.score(test.images, args.batch_size)
    evaluation = evaluate_scores(scores, test.is_outlier)
    rated = measured(scores, test.is_outlier, test.folders, scorer.part, scorer.calibration)
    print(rated.report(evaluation.inliers, evaluation.outliers))
    if remarked := remark(scorer.calibration):
        print(remarked)
    for warning in (*test.warnings, *rated.warnings()):
        print(f"Warning: {warning}.", file=sys.stderr)
    pixels = {}
    if test.masks is not None:
        assert isinstance(test.images, ImageFolder)
        found = evaluate_pixels(scorer, test.images, test.masks)
        print(f"\n{found.table()}")
        pixels = {"pixels": {**found.as_json(), "masks": str(args.masks)}}

    out.mkdir(parents=True, exist_ok=True)
    with replace_file(out / EVALUATION) as temporary:
        results = {**evaluation.as_json(), **pixels, "alpha": scorer.alpha, "test": test.facts, **rated.as_json()}
        temporary.write_text(json.dumps(results, indent=2) + "\n")
    labels = {**test.labels, "is_outlier": test.is_outlier.astype(int).tolist()}
    write_rows_file(out / EVALUATION_SCORES, score_rows(labels, scores, scorer.layers), "csv")
    save_histogram(out / EVALUATION_HISTOGRAM, scores, test.is_outlier, evaluation, test.title)
    print(f"Wrote {EVALUATION}, {EVALUATION_SCORES} and {EVALUATION_HISTOGRAM} to {out}.")


@dataclass(frozen=True)
class _TestImages:
    """Images with what is known of them: `folders` and the columns of `labels` have one entry an image."""

    images: Images
    is_outlier: npt.NDArray[np.bool_]
    labels: dict[str, Sequence[Any]]
    title: str
    facts: dict[str, Any]
    folders: Sequence[str | None]
    masks: Sequence[Path | None] | None = None
    warnings: Sequence[str] = ()


def _named_test(args: argparse.Namespace, detector: Detector) -> _TestImages:
    facts = detector.training.get("data", {})
    if not isinstance(facts, dict) or facts.keys() - {"calibration"} != {"dataset", "inlier", "seed"}:
        raise ValueError(f"{args.run_path} was not trained on a named data set: give --inliers and --outliers")
    facts = {name: fact for name, fact in facts.items() if name != "calibration"}
    split = named_split(**facts, size=detector.preprocessing["size"], data_root=args.data_root)
    return _TestImages(
        images=split.test,
        is_outlier=split.test_is_outlier,
        labels={"index": split.test_indices.tolist(), "class": split.test_classes},
        title=f"{facts['dataset']}: class {facts['inlier']} against the others",
        facts=facts,
        folders=[None] * len(split.test),
    )


def _two_folders(args: argparse.Namespace, detector: Detector) -> _TestImages:
    shape = detector.preprocessing["channels"], detector.preprocessing["size"]
    inliers, outliers = (read_image_folder(folder, *shape).paths for folder in (args.inliers, args.outliers))
    normal = {path.resolve() for path in inliers}
    outliers = [path for path in outliers if path.resolve() not in normal]
    if not outliers:
        raise ValueError(f"{args.outliers} holds no image beside those of {args.inliers}")
    masks = args.masks and [None] * len(inliers) + [mask_path(path, args.outliers, args.masks) for path in outliers]
    return _TestImages(
        images=ImageFolder(inliers + outliers, *shape),
        is_outlier=np.repeat([False, True], [len(inliers), len(outliers)]),
        labels={"path": [str(path) for path in inliers + outliers]},
        title=f"{args.inliers} against {args.outliers}",
        facts={"inliers": str(args.inliers), "outliers": str(args.outliers)},
        folders=[None] * len(inliers) + [_folder(path, args.outliers) for path in outliers],
        warnings=list(_of_training(args.inliers.resolve(), detector)),
        masks=masks,
    )


def _folder(path: Path, outliers: Path) -> str | None:
    """The folder of an image among those in the folder of outliers; None of one that is in none of them."""
    parts = path.relative_to(outliers).parts
    return parts[0] if len(parts) > 1 else None


def _of_training(inliers: Path, detector: Detector) -> Iterator[str]:
    """Yield a sentence for each folder that the detector was made with and that holds inliers too."""
    facts = detector.training.get("data", {})
    known = {name: facts.get(name) for name in ("images", "validation", "calibration")} if facts else {}
    for name, folder in known.items():
        if isinstance(folder, str) and (inliers.is_relative_to(folder) or Path(folder).is_relative_to(inliers)):
            what = "training" if name == "images" else name
            yield f"the inliers are of {folder}, whose images {what} has used: metrics of new images will be worse"
