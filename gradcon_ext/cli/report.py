"""`gradcon report`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tqdm import tqdm

from gradcon_ext.cli import arguments
from gradcon_ext.cli.report_images import draw, score_readable
from gradcon_ext.cli.run_files import load_detector
from gradcon_ext.data import read_image_folder
from gradcon_ext.detector.place import detector_file
from gradcon_ext.report.content import Report
from gradcon_ext.report.page import is_report, write_report
from gradcon_ext.scoring.scorer import Scorer
from gradcon_ext.version import __version__

_NO_CALIBRATION = "The detector is not calibrated, so a score says which images are worse, and not which are bad."

_DETAILS = """\
Scores a folder of images and writes one file of HTML, which needs no network:
how many are anomalous, how the scores are distributed, the worst images with
heat maps, and all images in a table that can be sorted and searched. Files that
cannot be read as images are listed.
"""

_EXAMPLES = """\
  gradcon report runs/photos new-photos --out report.html
  gradcon report runs/photos new-photos --out report.html --most 50
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "score a folder of images and write a report of them"
    parser = arguments.add_command(commands, "report", summary, _DETAILS, _EXAMPLES)
    parser.add_argument("detector", metavar="RUN", type=Path, help="a run's folder, or a detector's file")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="images, searched in depth")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
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
    arguments.add_batch_size(parser, 512)
    arguments.add_device(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Score the images and write the report."""
    _refuse_to_replace(args.out)
    detector = load_detector(args.detector)
    images = read_image_folder(args.folder, detector.preprocessing["channels"], detector.preprocessing["size"])
    scorer = Scorer.from_detector(detector, device=args.device)
    scored = score_readable(scorer, images, args.folder, args.batch_size)
    rows = list(tqdm(scored, total=len(images), unit=" images", unit_scale=True, disable=not sys.stderr.isatty()))
    channels, height, width = images.shape
    report = Report(
        title=f"Anomalies in {args.folder}",
        facts={
            "detector": str(detector_file(args.detector)),
            "image size": f"{width} by {height}, {'grey' if channels == 1 else 'colour'}",
            "written": f"{datetime.now():%Y-%m-%d %H:%M}",
            "gradcon": __version__,
        },
        rows=rows,
        no_verdict=_NO_CALIBRATION if scorer.calibration is None else None,
    )
    pictures, scales = draw(scorer, images, args.folder, report.worst_first[: args.most])
    write_report(args.out, replace(report, pictures=pictures, scales=scales))
    unreadable = sum(row.error is not None for row in rows)
    print(f"Wrote a report of {len(rows)} images, {unreadable} of them unreadable, to {args.out}.")


def _refuse_to_replace(out: Path) -> None:
    """Raise an exception, before anything is computed, unless a report can be written there."""
    if (out.exists() or out.is_symlink()) and not is_report(out):
        raise FileExistsError(f"--out {out} was not written by `gradcon report`: move it, or give another")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"--out {out}: there is no folder {out.parent}")
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {out} is to be a file of HTML; expected a name that ends in .html")
