"""`gradcon report`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import datetime
from math import isfinite
from pathlib import Path

from gradcon_ext.cli import arguments, reading_options
from gradcon_ext.cli.image_reader import own_pixel_limit
from gradcon_ext.cli.images_to_score import FilesToScore
from gradcon_ext.cli.reading_options import reader_of
from gradcon_ext.cli.report_images import draw, score_files
from gradcon_ext.cli.run_files import load_detector, refuse_unwritable
from gradcon_ext.cli.taking_options import add_network, open_scorer
from gradcon_ext.data.reading import Preparation
from gradcon_ext.detector.place import detector_file
from gradcon_ext.report.content import ImageRow, Report
from gradcon_ext.report.page import is_report, write_report
from gradcon_ext.scoring.image_scoring import ImageScorer
from gradcon_ext.version import __version__

_NO_CALIBRATION = "The detector is not calibrated, so a score says which images are worse, and not which are bad."

_DETAILS = """\
Scores images and writes one file of HTML, which needs no network: how many are
outliers, how the scores are distributed, the worst images with heat maps, and
all images in a table that can be sorted and searched. Files that cannot be read
as images are listed, and the exit code is 3 then.

FOLDER is searched in depth; of one in the layout of MVTec AD it is the images in
test, and of a .csv or .jsonl those in its column path.

With a calibrated detector, as `gradcon train` makes it, each image has a verdict
and a p-value: how rare a score as high is among normal images. It is an outlier
where that is at most the false-alarm rate that the detector was trained with,
and an inlier otherwise; the threshold in the histogram is the score from which
on images are outliers. Without a calibration there are scores alone. The words
are those of `gradcon score`, which takes another rate.
"""

_EXAMPLES = """\
  gradcon report runs/photos new-photos --out report.html
  gradcon report runs/photos new-photos --out report.html --most 50
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "score a folder of images and write a report of them"
    parser = arguments.add_command(commands, "report", summary, _DETAILS, _EXAMPLES)
    parser.add_argument("detector", metavar="RUN", type=arguments.path, help="a run's folder, or a detector's file")
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        type=arguments.path,
        help="images: a folder, a .csv or .jsonl with their paths, or one file",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=arguments.path,
        required=True,
        help="file to write, such as report.html; a report is replaced",
    )
    parser.add_argument(
        "--most",
        metavar="N",
        type=arguments.positive_int,
        default=200,
        help="images with pictures, the worst ones (default: %(default)s)",
    )
    reading_options.add_reading(parser, on_error="skip")
    add_network(parser)
    arguments.add_batch_size(parser, 512)
    arguments.add_device(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Score the images and write the report; return the exit code."""
    _refuse_to_replace(args.out)
    detector = load_detector(args.detector)
    preparation = replace(Preparation.read(detector.preprocessing), max_pixels=args.max_pixels)
    scorer = open_scorer(detector, args)
    reader = reader_of(args, preparation)
    with own_pixel_limit():
        images = FilesToScore(reader.find(args.folder, "test"), reader)
        rows = list(score_files(scorer, images, args.folder, args.batch_size))
        report = _report(args, preparation, scorer, rows)
        pictures, scales = draw(scorer, images, args.folder, report.worst_first[: args.most])
    write_report(args.out, replace(report, pictures=pictures, scales=scales))
    reader.report()
    print(f"Wrote a report of {len(rows)} images, {len(reader.unreadable)} of them unreadable, to {args.out}.")
    return reader.exit_code


def _report(args: argparse.Namespace, preparation: Preparation, scorer: ImageScorer, rows: list[ImageRow]) -> Report:
    size = "as they are" if preparation.size is None else f"{preparation.size[1]} by {preparation.size[0]}"
    return Report(
        title=f"Anomalies in {args.folder}",
        facts={
            "detector": str(detector_file(args.detector)),
            "score": scorer.part,
            "image size": f"{size}, {'grey' if preparation.channels == 1 else 'colour'}",
            "written": f"{datetime.now():%Y-%m-%d %H:%M}",
            "gradcon": __version__,
        },
        rows=rows,
        threshold=_threshold(scorer),
        no_verdict=_NO_CALIBRATION if scorer.calibration is None else None,
    )


def _threshold(scorer: ImageScorer) -> float | None:
    """The score from which on images are outliers; None where none is high enough, or nothing is calibrated."""
    calibration = scorer.calibration
    if calibration is None:
        return None
    threshold = calibration.threshold(scorer.part)
    return threshold if isfinite(threshold) else None


def _refuse_to_replace(out: Path) -> None:
    """Raise an exception, before anything is computed, unless a report can be written there."""
    if (out.exists() or out.is_symlink()) and not is_report(out):
        raise FileExistsError(f"--out {out} was not written by `gradcon report`: move it, or give another")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"--out {out}: there is no folder {out.parent}")
    refuse_unwritable("--out", out.parent)
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {out} is to be a file of HTML; expected a name that ends in .html")
