"""`gradcon score --ray`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gradcon_ext.cli.image_reader import UNREADABLE
from gradcon_ext.cli.ray_options import cluster_of
from gradcon_ext.cli.taking_options import network_of
from gradcon_ext.data.reading import Preparation
from gradcon_ext.detector.detector import Detector

if TYPE_CHECKING:
    from gradcon_ext.ray import Written

_MISFITS = {
    "maps": "--maps draws on one machine",
    "fdr": "--fdr needs the p-values of all rows",
    "format": "the format is Parquet, and --format",
}


def refuse_misfits(args: argparse.Namespace) -> None:
    """Raise ArgumentError for what does not go with `--ray`, or not without it."""
    if args.ray is None:
        if urls := [each for each in (*args.images, args.out) if isinstance(each, str)]:
            raise argparse.ArgumentError(None, f"{urls[0]}: URLs need --ray")
        if args.block_size is not None:
            raise argparse.ArgumentError(None, "--block-size needs --ray")
        return
    for name, reason in _MISFITS.items():
        if getattr(args, name) is not None:
            raise argparse.ArgumentError(None, f"{reason}: it does not go with --ray")
    if args.out == Path("-"):
        raise argparse.ArgumentError(None, "--ray needs --out, a folder or URL for Parquet files")
    if args.on_error == "fail":
        raise argparse.ArgumentError(None, "with --ray unreadable images are rows: --on-error fail does not go with it")
    if arrays := [each for each in args.images if str(each).endswith(".npy")]:
        raise argparse.ArgumentError(None, f"{arrays[0]}: arrays are scored without --ray")
    if args.block_size is not None and args.block_size % args.batch_size:
        raise argparse.ArgumentError(None, f"--block-size: expected a multiple of {args.batch_size}, the batch size")


def score_on_ray(args: argparse.Namespace, detector: Detector) -> int:
    """Score images on a cluster; return the exit code."""
    cluster_of(args)
    from gradcon_ext.ray import ScoringJob

    preparation = Preparation.read(detector.preprocessing)
    frame = preparation.frame if args.frames is None else args.frames
    job = ScoringJob(
        args.images,
        detector,
        replace(preparation, frame=frame, max_pixels=args.max_pixels),
        args.batch_size,
        args.block_size,
        args.device.type,
        threads=args.workers,
        network=None if args.features is None else network_of(args.features),
    )
    _keep_quiet()
    written = job.write(args.out)
    _report(written)
    print(f"Wrote {written.images} rows to {args.out}, in {len(written.files)} files.", file=sys.stderr)
    return UNREADABLE if written.unreadable else 0


def _keep_quiet() -> None:
    """Leave Ray's own bars to terminals."""
    import logging

    from ray.data import DataContext

    if not sys.stderr.isatty():
        DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.WARNING)


def _report(written: Written) -> None:
    if written.unreadable:
        print(
            f"Warning: images that cannot be read: {written.unreadable}, such as {written.first_unreadable}",
            file=sys.stderr,
        )
    if written.beyond:
        print(
            "Warning: images with values beyond the range of the detector, which are clipped: "
            f"{written.beyond}, such as {written.first_beyond}",
            file=sys.stderr,
        )
