"""`gradcon train`: a run, from the images to a detector that says what an outlier is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from tqdm.contrib.logging import logging_redirect_tqdm

from gradcon_ext.cli import training_options
from gradcon_ext.cli.finishing import finish, refuse_unfit
from gradcon_ext.cli.image_reader import ImageReader, own_pixel_limit
from gradcon_ext.cli.model_options import model_of
from gradcon_ext.cli.reading_options import DEFAULT_SIZE, preparation_of, reader_of
from gradcon_ext.cli.resumed_run import (
    epochs_before,
    facts_before,
    range_before,
    score_before,
    settings_before,
    was_calibrated,
)
from gradcon_ext.cli.run_files import refuse_used
from gradcon_ext.cli.run_options import kept_options
from gradcon_ext.cli.taking import Taking, refuse_placing, taking_of
from gradcon_ext.cli.training_defaults import Settings, default_settings
from gradcon_ext.cli.training_images import TrainingImages, from_data_set, from_folder
from gradcon_ext.cli.training_parser import add_parser, refuse_misfits
from gradcon_ext.cli.training_summary import summarise
from gradcon_ext.data.image_size import height_width
from gradcon_ext.data.images import as_image_dataset
from gradcon_ext.data.reading import find_images, remove_caches
from gradcon_ext.data.survey import refuse_blank
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.place import DETECTOR
from gradcon_ext.storage.lock import reserved
from gradcon_ext.training.run_contents import CONFIG, EVALUATIONS, holds_run, remove_own
from gradcon_ext.training.trainer import Trainer

__all__ = ["add_parser", "run"]

_DEFAULT_SIZES = {"digits": 8}

_OF_ONE_CALL = ("config", "resume", "overwrite", "quiet")
"""Options that say nothing of what is trained."""


def run(args: argparse.Namespace) -> int:
    """Train and save a detector; return the exit code."""
    refuse_misfits(args)
    refuse_used(args.out, args.resume, args.overwrite)
    is_new = not args.out.exists()
    try:
        with own_pixel_limit(), reserved(args.out):
            refuse_used(args.out, args.resume, args.overwrite)  # again: another run may have ended meanwhile
            return _train(args)
    except BaseException:
        if not holds_run(args.out):  # and so nothing that --resume could go on with
            remove_caches(args.out)
            remove_own(args.out, CONFIG)
            if is_new:
                with suppress(OSError):
                    args.out.rmdir()
        raise


def _train(args: argparse.Namespace) -> int:
    resumed = settings_before(args)
    taking = _taking(args, resumed)
    if taking.reason and not args.quiet:
        print(taking.reason, flush=True)
    network = taking.network(args.device)
    before = facts_before(args)
    preparation = preparation_of(args, taking.size)
    preparation = replace(preparation, range=preparation.range or range_before(before))
    reader = reader_of(args, preparation, args.quiet)
    images = _images(args, before, reader, taking)
    reader.report()
    score = args.score or score_before(before)
    refuse_unfit(score, args.false_alarms, images)
    refuse_blank(as_image_dataset(images.train))  # before they are cut: random tiles of one image differ
    cut = taking.cut(images.train, network)
    learned = images if cut is None else images.in_tiles(cut, taking.tiles, args.seed)
    of_features = taking.features is not None
    train = as_image_dataset(learned.train, features=of_features)
    if cut is not None:
        refuse_blank(train, "tiles")  # as even contrast leaves those of images that differ in brightness alone
    torch.manual_seed(args.seed)
    settings = _settings(args, score, taking.tiling is not None, len(train), resumed)
    trainer = _trainer(args, model_of(args, train.shape, of_features, resumed), settings, images, taking)
    trainer.check()
    if args.overwrite:
        remove_own(args.out, DETECTOR, *EVALUATIONS)
    options = _options(args, trainer, score, taking)
    with kept_options(args.out, options) as text:
        if args.config is not None and not args.quiet:
            print(text)
        with training_options.tracked(args, options) as trainer.log:
            detector = _fit(trainer, learned, args.resume)
    finished = finish(detector, images, score, args.false_alarms, args.device, args.quiet, cut=cut)
    finished.detector.save(args.out / DETECTOR)
    remove_own(args.out, *EVALUATIONS)  # of the detector before, after --resume
    remove_caches(args.out)
    if not args.quiet:
        summarise(finished, images, args)
    return reader.exit_code


def _taking(args: argparse.Namespace, resumed: Mapping[str, Any] | None) -> Taking:
    if args.dataset:
        return Taking(height_width(args.size or _DEFAULT_SIZES.get(args.dataset, DEFAULT_SIZE)))
    taking = taking_of(args, find_images(args.images, "train").files, resumed)
    refuse_placing(args, taking)
    return taking


def _images(
    args: argparse.Namespace, before: Mapping[str, Any] | None, reader: ImageReader, taking: Taking
) -> TrainingImages:
    calibrate = args.calibrate
    if calibrate is None:
        calibrate = bool(args.images or args.false_alarms) if before is None else was_calibrated(before)
    if args.dataset:
        assert taking.size is not None  # those of a data set always have one
        return from_data_set(args.dataset, args.inlier, args.seed, taking.size, args.data_root, calibrate)
    others = {"validation": args.validation, "calibration": args.calibration}
    of_tiles = taking.tiling is not None and taking.features is None  # of whose images no epoch reads any
    return from_folder(args.images, others, args.seed, reader, None if of_tiles else args.out, calibrate)


def _settings(
    args: argparse.Namespace, score: str, of_tiles: bool, images: int, resumed: Mapping[str, Any] | None
) -> Settings:
    """What is asked for, or else how the run in OUT was trained, or else the defaults."""
    settings = default_settings(score, of_tiles, images)
    if resumed is not None:
        settings = settings._replace(**{name: resumed[name] for name in ("alpha", "lead_in", "batch_size")})
    given = {name: getattr(args, name) for name in settings._fields}
    given["epochs"] = args.epochs or epochs_before(args)
    return settings._replace(**{name: value for name, value in given.items() if value is not None})


def _trainer(
    args: argparse.Namespace, model: nn.Module, settings: Settings, images: TrainingImages, taking: Taking
) -> Trainer:
    return Trainer(
        model,
        **settings._asdict(),
        **training_options.pace_of(args),
        seed=args.seed,
        device=args.device,
        average=args.average,
        precision=args.precision,
        out=args.out,
        overwrite=args.overwrite,
        progress=not args.quiet and sys.stderr.isatty(),
        data={**images.facts, **taking.facts()},
        preprocessing=images.preprocessing,
    )


def _options(args: argparse.Namespace, trainer: Trainer, score: str, taking: Taking) -> dict[str, Any]:
    """All options of the run, by name."""
    options = {name: value for name, value in args.options.items() if name not in _OF_ONE_CALL}
    if args.images:
        for name in ("stages", "features"):  # timm's stages are in the name of its network
            options.pop(name, None)
        options |= taking.options
    options |= {"score": score}
    return options | {name.replace("_", "-"): getattr(trainer, name) for name in Settings._fields}


def _fit(trainer: Trainer, images: TrainingImages, resume: bool) -> Detector:
    try:
        with logging_redirect_tqdm():  # so that a warning does not break the progress bar
            return trainer.fit(images.train, images.validation, resume)
    except KeyboardInterrupt:
        print("With --resume, and without --overwrite, it goes on after the last finished epoch.", file=sys.stderr)
        raise
