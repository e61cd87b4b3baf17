"""`gradcon score`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradcon_ext.cli import arguments, reading_options
from gradcon_ext.cli.failed_rows import with_failed_rows
from gradcon_ext.cli.image_reader import ImageReader, own_pixel_limit
from gradcon_ext.cli.images_to_score import ArrayToScore, FilesToScore, file_labels, images_to_score
from gradcon_ext.cli.maps import MAPS_AT_A_TIME, refuse_maps_folder, write_maps
from gradcon_ext.cli.ray_options import add_ray
from gradcon_ext.cli.reading_options import reader_of
from gradcon_ext.cli.rows import Format, Row, score_rows, write_rows, write_rows_file
from gradcon_ext.cli.run_files import load_detector, refuse_to_replace, refuse_unwritable
from gradcon_ext.cli.score_on_ray import refuse_misfits, score_on_ray
from gradcon_ext.cli.taking_options import add_network, open_scorer
from gradcon_ext.cli.verdicts import judging, remark
from gradcon_ext.data.reading import Preparation
from gradcon_ext.detector.calibration import VERDICTS
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.parts import PARTS
from gradcon_ext.detector.place import detector_file
from gradcon_ext.scoring.calibrating import select
from gradcon_ext.scoring.image_scoring import ImageScorer

_DETAILS = """\
Images are brought to the channels, size and range of values that the detector
was trained on. Of any number of images, one batch at a time is in memory.

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
  error           why an image cannot be read, and so has no score; empty of all
                  others, and not there with --on-error fail or for an array

Of a detector of tiles each column is pooled from the scores of an image's
tiles by itself; cosine.mean is minus the pooled gradient, and reconstruction
has the latent loss in it.

With --ray the rows are those of one machine with the same --batch-size, to the
bit, in a Parquet file for each block of images; all nodes share the file system
of IMAGES and of --out, or they are URLs of fsspec such as s3://bucket/folder.
The same command goes on where it was.

Where images cannot be read the exit code is 3, and all others are scored.

`gradcon info DETECTOR` says which part decides, and the false-alarm rate.
"""

_EXAMPLES = """\
  gradcon score runs/photos new-photos --out scores.csv
  gradcon score runs/photos new-photos --false-alarms 0.05 | grep ,outlier,
  gradcon score runs/photos new-photos --fdr 0.1 --out scores.csv
  gradcon score runs/photos new-photos | sort -t, -k2 -g -r | head
  gradcon score runs/photos new-photos --out scores.csv --maps heat-maps
  gradcon score detector.safetensors frames.npy --out scores.jsonl
  gradcon score runs/photos s3://bucket/photos --out s3://bucket/scores --ray
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = arguments.add_command(commands, "score", "score images with a trained detector", _DETAILS, _EXAMPLES)
    parser.add_argument(
        "detector", metavar="DETECTOR", type=arguments.path, help="a run's folder, or a detector's file"
    )
    parser.add_argument(
        "images",
        metavar="IMAGES",
        type=arguments.path_or_url,
        nargs="+",
        help="image files, folders of them, searched in depth, and .csv or .jsonl with their paths; or one .npy file "
        "(N, H, W) or (N, C, H, W), of uint8 or uint16, or of floating point from 0 to 1 in the detector's size",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=arguments.path_or_url,
        default=Path("-"),
        help='"-" for standard output (default: %(default)s); what is there is replaced if it ends in .csv or .jsonl. '
        "With --ray a folder, new or of the same command before",
    )
    parser.add_argument(
        "--format", choices=("csv", "jsonl"), help="default: jsonl if FILE ends in .jsonl, csv otherwise"
    )
    parser.add_argument(
        "--maps",
        metavar="DIR",
        type=arguments.path,
        help="folder, new or empty, for two heat maps of each image: where its reconstruction is off, and where its "
        "gradients are least aligned; of a detector of tiles one, their scores; each kind on one scale",
    )
    reading_options.add_frames(parser, "those of the detector")
    reading_options.add_reading(parser, on_error="skip")
    add_network(parser)
    verdict = parser.add_argument_group("verdict")
    verdict.add_argument(
        "--by",
        metavar="PART",
        choices=PARTS,
        help=f"the part of the score that decides, instead of the detector's: {', '.join(PARTS)}; combined is the "
        "column anomaly",
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
    add_ray(parser, "score on a Ray cluster")
    parser.add_argument(
        "--block-size",
        metavar="N",
        type=arguments.positive_int,
        help="with --ray, images of a task and of its file, a multiple of the batch size (default: four times as many)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Score images and write the rows; return the exit code."""
    refuse_misfits(args)
    detector = judging(load_detector(args.detector), args.by, args.false_alarms, args.fdr)
    if args.ray is not None:
        return score_on_ray(args, detector)
    to_stdout = args.out == Path("-")
    with own_pixel_limit():
        reader = _reader(args, detector, quiet=to_stdout and sys.stdout.isatty())
        if not to_stdout:
            refuse_to_replace(args.out, [detector_file(args.detector), *args.images])
        if args.maps is not None:
            refuse_maps_folder(args.maps)
            refuse_unwritable("--maps", args.maps)
        images = images_to_score(args.images, reader)
        scorer = open_scorer(detector, args)
        format: Format = args.format or ("jsonl" if args.out.suffix == ".jsonl" else "csv")
        rows = _rows(scorer, images, args.batch_size)
        if args.fdr is not None:
            rows = _selected(rows, args.fdr)
        if to_stdout:
            write_rows(sys.stdout, rows, format)
            sys.stdout.flush()  # rows come before what is said of them
        else:
            write_rows_file(args.out, rows, format)
        drawn = "" if args.maps is None else _draw(scorer, images, args)
    reader.report()
    if not to_stdout:
        print(f"Wrote {len(images)} rows to {args.out}.", file=sys.stderr)
    if remarked := remark(scorer.calibration, args.fdr):
        print(remarked, file=sys.stderr)
    if drawn:
        print(drawn, file=sys.stderr)
    return reader.exit_code


def _draw(scorer: ImageScorer, images: ArrayToScore | FilesToScore, args: argparse.Namespace) -> str:
    """Draw the maps of what could be read, and say so."""
    dataset, names = images.named()
    if not names:
        return f"Wrote no heat maps to {args.maps}: no image can be read."
    scales = write_maps(scorer, dataset, names, args.maps, min(args.batch_size, MAPS_AT_A_TIME))
    drawn = ", ".join(f"{name} from {scale.low:.3g} to {scale.high:.3g}" for name, scale in scales.items())
    return f"Wrote {len(scales) * len(names)} heat maps to {args.maps}: {drawn}."


def _reader(args: argparse.Namespace, detector: Detector, quiet: bool) -> ImageReader:
    preparation = Preparation.read(detector.preprocessing)
    frame = preparation.frame if args.frames is None else args.frames
    return reader_of(args, replace(preparation, frame=frame, max_pixels=args.max_pixels), quiet)


def _rows(scorer: ImageScorer, images: ArrayToScore | FilesToScore, batch_size: int) -> Iterator[Row]:
    parts = _scored(scorer, images, batch_size)
    if isinstance(images, FilesToScore) and images.reader.skip:
        preparation = images.reader.preparation
        black = torch.zeros(1, preparation.channels, *(preparation.size or (1, 1)))
        labels = file_labels(images.files[:1], images.has_frames)
        return with_failed_rows(parts, lambda: next(_score_rows(scorer, labels, black)))
    return (row for _, _, rows in parts for row in rows)


def _selected(rows: Iterable[Row], rate: float) -> Iterator[Row]:
    """Rows whose verdicts depend on all p-values."""
    kept = list(rows)
    scored = [row for row in kept if row["p_value"] is not None]
    chosen = select(np.array([row["p_value"] for row in scored]), rate)
    for row, is_outlier in zip(scored, chosen.tolist(), strict=True):
        row["verdict"] = VERDICTS[is_outlier]
    return iter(kept)


def _scored(
    scorer: ImageScorer, images: ArrayToScore | FilesToScore, batch_size: int
) -> Iterator[tuple[Mapping[str, Sequence[Any]], Sequence[str | None], Iterator[Row]]]:
    for labels, problems, pixels in images.batches(batch_size):
        if pixels is None:
            yield labels, problems, iter(())
            continue
        good = [index for index, problem in enumerate(problems) if problem is None]
        of_good = {name: [entries[index] for index in good] for name, entries in labels.items()}
        yield labels, problems, _score_rows(scorer, of_good, pixels)


def _score_rows(scorer: ImageScorer, labels: Mapping[str, Sequence[Any]], pixels: Tensor) -> Iterator[Row]:
    return score_rows(labels, scorer.score(pixels, len(pixels)), scorer.layers)
