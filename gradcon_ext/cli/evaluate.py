"""`gradcon evaluate`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gradcon_ext.cli import arguments, reading_options
from gradcon_ext.cli.failed_rows import with_rows_at_end
from gradcon_ext.cli.image_reader import UNREADABLE, own_pixel_limit
from gradcon_ext.cli.measured import measured
from gradcon_ext.cli.rows import score_rows, write_rows_file
from gradcon_ext.cli.run_files import load_detector
from gradcon_ext.cli.scored_tests import of_data_set, of_files
from gradcon_ext.cli.taking_options import add_network, open_scorer
from gradcon_ext.cli.verdicts import judging, remark
from gradcon_ext.detector.parts import PARTS
from gradcon_ext.detector.place import detector_file
from gradcon_ext.scoring.evaluation import evaluate_scores
from gradcon_ext.scoring.histogram import save_histogram
from gradcon_ext.scoring.pixel_evaluation import evaluate_pixels
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
own images needs two folders, or one in the layout of MVTec AD, or a list.
Outliers in folders of their own, such as kinds of defects, are rated folder by
folder too, where there are 50 at most. Normal images below the folder of the outliers are left out of
these: --inliers test/good --outliers test.

OUT receives {EVALUATION}, {EVALUATION_SCORES} (one row an image) and {EVALUATION_HISTOGRAM}.
"""

_EXAMPLES = """\
  gradcon evaluate runs/mnist-8 --data-root data
  gradcon evaluate runs/photos --inliers good --outliers faulty
  gradcon evaluate runs/tiles --inliers test/good --outliers test --masks ground_truth
  gradcon evaluate runs/bottle --images mvtec/bottle
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
        "--images",
        metavar="PATH",
        type=Path,
        help="both: a folder of MVTec AD, or a .csv or .jsonl with columns path and is_outlier",
    )
    parser.add_argument(
        "--masks",
        metavar="FOLDER",
        type=Path,
        help="masks of the outliers, <defect>/<name>_mask.png as in MVTec AD: pixel AUROC and PRO of each map "
        "(default: ground_truth in --images, where it is there)",
    )
    reading_options.add_reading(parser, on_error="skip")
    add_network(parser)
    parser.add_argument(
        "--by",
        metavar="PART",
        choices=PARTS,
        help=f"the part of the score that decides, instead of the detector's: {', '.join(PARTS)}",
    )
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


def run(args: argparse.Namespace) -> int:
    """Score the test images, print the metrics, and write them down; return the exit code."""
    if args.images and (args.inliers or args.outliers):
        raise argparse.ArgumentError(None, "--images does not go with --inliers and --outliers")
    if (args.inliers is None) != (args.outliers is None):
        raise argparse.ArgumentError(None, "--inliers and --outliers go together")
    if args.masks is not None and not (args.outliers or args.images):
        raise argparse.ArgumentError(None, "--masks are of images in --outliers or --images, which must be given")
    detector = judging(load_detector(args.run_path), args.by, args.false_alarms)
    out = args.out or detector_file(args.run_path).parent
    refuse_to_replace_evaluation(out)
    scorer = open_scorer(detector, args)
    test = of_files(args, detector, scorer) if args.inliers or args.images else of_data_set(args, detector, scorer)
    evaluation = evaluate_scores(test.scores, test.is_outlier)
    rated = measured(
        test.scores, test.is_outlier, test.folders or [None] * len(test.is_outlier), scorer.part, scorer.calibration
    )
    print(rated.report(evaluation.inliers, evaluation.outliers))
    if remarked := remark(scorer.calibration):
        print(remarked)
    for warning in (*test.warnings, *rated.warnings()):
        print(f"Warning: {warning}.", file=sys.stderr)
    pixels = {}
    if test.images is not None:
        with own_pixel_limit():
            found = evaluate_pixels(scorer, *test.images)
        print(f"\n{found.table()}")
        pixels = {"pixels": {**found.as_json(), "masks": str(test.masks)}}

    out.mkdir(parents=True, exist_ok=True)
    with replace_file(out / EVALUATION) as temporary:
        results = {**evaluation.as_json(), **pixels, "alpha": scorer.alpha, "test": test.facts, **rated.as_json()}
        temporary.write_text(json.dumps(results, indent=2) + "\n")
    labels = {**test.labels, "is_outlier": test.is_outlier.astype(int).tolist()}
    rows = with_rows_at_end(score_rows(labels, test.scores, scorer.layers), test.failed)
    write_rows_file(out / EVALUATION_SCORES, rows, "csv")
    save_histogram(out / EVALUATION_HISTOGRAM, test.scores, test.is_outlier, evaluation, test.title)
    print(f"Wrote {EVALUATION}, {EVALUATION_SCORES} and {EVALUATION_HISTOGRAM} to {out}.")
    return UNREADABLE if test.failed else 0
