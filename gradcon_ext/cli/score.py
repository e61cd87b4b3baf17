"""`gradcon score`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from gradcon_ext.cli import arguments
from gradcon_ext.cli.images_to_score import ImagesToScore, images_to_score
from gradcon_ext.cli.maps import MAPS_AT_A_TIME, refuse_maps_folder, write_maps
from gradcon_ext.cli.rows import Format, Row, score_rows, write_rows, write_rows_file
from gradcon_ext.cli.run_files import load_detector, refuse_to_replace
from gradcon_ext.cli.verdicts import judging, remark
from gradcon_ext.data.image_dataset import stored_batches
from gradcon_ext.detector.parts import PARTS
from gradcon_ext.detector.place import detector_file
from gradcon_ext.scoring.calibrating import select
from gradcon_ext.scoring.scorer import Scorer

_DETAILS = """\
Images are brought to the channels and size that the detector was trained on.
Of any number of images, one batch at a time is in memory.

One row an image:
  path            or, for an array, index
  anomaly         reconstruction + latent + alpha * gradient, with the alpha
                  of the detector, 0.12; higher is more anomalous
  reconstruction  reconstruction loss
  latent          latent loss; 0 where the model has none
  gradient        gradient loss: minus the mean of the cosines
  direction       how far the code's direction leaves those of training,
  code            how far the code itself does, and
  balanced        these, gradient and reconstruction on the scale of held-out
                  images, higher is more anomalous: all three only of a
                  detector with a balance, not with --score gradcon
  p_value         how rare a score as high is among normal images: the share
                  of calibration images whose part that decides is as high
  verdict         outlier where the p-value is at most the false-alarm rate,
                  inlier elsewhere: both only of a calibrated detector
  cosine.LAYER    alignment of the layer's gradient with that of training

`gradcon info DETECTOR` says which part decides, and the false-alarm rate.
"""

_EXAMPLES = """\
  gradcon score runs/photos new-photos --out scores.csv
  gradcon score runs/photos new-photos --false-alarms 0.05 | grep ,outlier,
  gradcon score runs/photos new-photos --fdr 0.1 --out scores.csv
  gradcon score runs/photos new-photos | sort -t, -k2 -g -r | head
  gradcon score runs/photos new-photos --out scores.csv --maps heat-maps
  gradcon score detector.safetensors frames.npy --out scores.jsonl
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = arguments.add_command(commands, "score", "score images with a trained detector", _DETAILS, _EXAMPLES)
    parser.add_argument("detector", metavar="DETECTOR", type=Path, help="a run's folder, or a detector's file")
    parser.add_argument(
        "images",
        metavar="IMAGES",
        type=Path,
        nargs="+",
        help="image files and folders of them, searched in depth; or one .npy file (N, H, W) or (N, C, H, W), of "
        "uint8, or of floating point from 0 to 1 in the detector's size",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        default=Path("-"),
        help='"-" for standard output (default: %(default)s); what is there is replaced if it ends in .csv or .jsonl',
    )
    parser.add_argument(
        "--format", choices=("csv", "jsonl"), help="default: jsonl if FILE ends in .jsonl, csv otherwise"
    )
    parser.add_argument(
        "--maps",
        metavar="DIR",
        type=Path,
        help="folder, new or empty, for two heat maps of each image: where its reconstruction is off, and where its "
        "gradients are least aligned; all on one scale",
    )
    verdict = parser.add_argument_group("verdict")
    verdict.add_argument(
        "--by", metavar="PART", choices=PARTS, help=f"the part of the score that decides: {', '.join(PARTS)}"
    )
    rule = verdict.add_mutually_exclusive_group()
    rule.add_argument(
        "--false-alarms",
        metavar="RATE",
        type=arguments.rate,
        help="share of normal images that may be called outliers (default: that of the detector)",
    )
    rule.add_argument(
        "--fdr",
        metavar="RATE",
        type=arguments.rate,
        help="share of those called outliers that may be normal: selects among all rows by Benjamini and Hochberg",
    )
    arguments.add_batch_size(parser, 512)
    arguments.add_device(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Score images and write the rows."""
    detector = load_detector(args.detector)
    images = images_to_score(args.images, detector.preprocessing)
    to_stdout = args.out == Path("-")
    if not to_stdout:
        refuse_to_replace(args.out, [detector_file(args.detector), *args.images])
    if args.maps is not None:
        refuse_maps_folder(args.maps)
    scorer = Scorer.from_detector(judging(detector, args.by, args.false_alarms, args.fdr), device=args.device)
    format: Format = args.format or ("jsonl" if args.out.suffix == ".jsonl" else "csv")
    progress = not to_stdout and sys.stderr.isatty()
    rows = _rows(scorer, images, args.batch_size, progress) if args.fdr is None else _selected(scorer, images, args)
    if to_stdout:
        write_rows(sys.stdout, rows, format)
        sys.stdout.flush()  # rows come before what is said of them
    else:
        write_rows_file(args.out, rows, format)
        print(f"Wrote {len(images.labels)} rows to {args.out}.", file=sys.stderr)
    if remarked := remark(scorer.calibration, args.fdr):
        print(remarked, file=sys.stderr)
    if args.maps is not None:
        scales = write_maps(scorer, images, args.maps, min(args.batch_size, MAPS_AT_A_TIME))
        drawn = ", ".join(f"{name} from {scale.low:.3g} to {scale.high:.3g}" for name, scale in scales.items())
        print(f"Wrote {len(scales) * len(images.labels)} heat maps to {args.maps}: {drawn}.", file=sys.stderr)


def _rows(scorer: Scorer, images: ImagesToScore, batch_size: int, progress: bool) -> Iterator[Row]:
    done = 0
    with tqdm(total=len(images.labels), unit=" images", unit_scale=True, disable=not progress) as bar:
        for scores in scorer.score_batches(stored_batches(images.dataset, batch_size)):
            count = len(scores.anomaly)
            labels = {images.column: images.labels[done : done + count]}
            yield from score_rows(labels, scores, scorer.layers)
            done += count
            bar.update(count)


def _selected(scorer: Scorer, images: ImagesToScore, args: argparse.Namespace) -> Iterator[Row]:
    """Rows whose verdicts depend on all p-values."""
    scores = scorer.score(images.dataset, args.batch_size)
    assert scores.p_value is not None  # `judging` has seen to it
    selected = torch.from_numpy(select(scores.p_value.numpy(), args.fdr))
    yield from score_rows({images.column: images.labels}, scores._replace(is_outlier=selected), scorer.layers)
