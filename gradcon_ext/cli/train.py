"""`gradcon train`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from tqdm.contrib.logging import logging_redirect_tqdm

from gradcon_ext.cli import arguments, reading_options, training_options
from gradcon_ext.cli.config import to_toml
from gradcon_ext.cli.finishing import SCORES, Finished, finish, refuse_unfit, score_before, was_calibrated
from gradcon_ext.cli.image_reader import ImageReader, own_pixel_limit
from gradcon_ext.cli.reading_options import DEFAULT_SIZE, PREPARATION, preparation_of, reader_of
from gradcon_ext.cli.run_files import refuse_used
from gradcon_ext.cli.training_images import TrainingImages, from_data_set, from_folder
from gradcon_ext.data import DATA_SETS
from gradcon_ext.data.images import as_image_dataset
from gradcon_ext.data.reading import remove_caches
from gradcon_ext.detector.detector import Detector, read_facts
from gradcon_ext.detector.place import CHECKPOINT, DETECTOR
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.scoring import balancing
from gradcon_ext.storage.files import replace_file
from gradcon_ext.storage.lock import reserved
from gradcon_ext.training.checkpoint import planned_epochs
from gradcon_ext.training.precision import Precision
from gradcon_ext.training.run_contents import CONFIG, CONFIG_HEAD, EVALUATIONS, HISTORY, holds_run, remove_own
from gradcon_ext.training.trainer import Trainer

_MODELS = {"cae": ConvAutoencoder, "vae": ConvVariationalAutoencoder}
_DEFAULT_SIZES = {"digits": 8}


class _Settings(NamedTuple):
    """How training is by default."""

    alpha: float
    epochs: int


_PAPERS = _Settings(alpha=0.03, epochs=30)
_BALANCED = _Settings(balancing.ALPHA, balancing.EPOCHS)

_OF_ONE_CALL = ("config", "resume", "overwrite", "quiet")
"""Options that say nothing of what is trained."""

_DETAILS = """\
The images are one class of a data set, or a folder of your own normal images.
Of either, 10 % are held out for validation, and the epoch that does best on
them is kept. The same command gives the same detector again.

A verdict needs a third split, for calibration: of a folder it is 10 %, or up
to 20 % where fewer than 99 images, which allow a false-alarm rate of 1 %, would
be held out. A data set's split is the paper's, unless --calibrate is given.

Which part of the score decides is chosen at the end, by how well each notices
synthetic damage of the images held out for validation; --score overrides it.

OUT receives detector.safetensors (all that scoring needs), history.jsonl (one
line an epoch), checkpoint.safetensors (for --resume) and train.toml (all options,
for --config). While a run is at work, .lock and .lock.json keep others out; those of a killed one do no harm.
Images of a folder are read once, into .images-*.cache, which an interrupted run
leaves for --resume and a finished one removes.
"""

_EXAMPLES = """\
  gradcon train --dataset mnist --inlier 8 --data-root data --out runs/mnist-8
  gradcon train --images photos --size 64 --epochs 100 --out runs/photos
  gradcon train --images photos --size 64 --epochs 200 --out runs/photos --resume
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = arguments.add_command(commands, "train", "train a detector on normal images", _DETAILS, _EXAMPLES)

    images = parser.add_argument_group("images")
    source = images.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", choices=DATA_SETS, help="a data set, from its original files")
    source.add_argument(
        "--images",
        metavar="FOLDER",
        type=Path,
        help="a folder of normal images, searched in depth, or of MVTec AD; or a .csv or .jsonl with their paths",
    )
    images.add_argument("--inlier", metavar="CLASS", help="with --dataset: name or index of the normal class")
    arguments.add_data_root(images)
    images.add_argument(
        "--validation", metavar="FOLDER", type=Path, help="with --images: more normal images, instead of 10 %% of them"
    )
    images.add_argument(
        "--calibration", metavar="FOLDER", type=Path, help="with --images: more normal images, instead of some of them"
    )
    images.add_argument(
        "--calibrate",
        action=argparse.BooleanOptionalAction,
        help="hold images out for p-values and verdicts (default: with --images or --false-alarms; with --resume, as "
        "the run in OUT)",
    )
    files = parser.add_argument_group("image files, with --images (--size with --dataset too)")
    reading_options.add_preparation(files)
    reading_options.add_reading(files, on_error="fail")

    training = parser.add_argument_group("training")
    training.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the run; made if need be")
    training.add_argument(
        "--model", choices=tuple(_MODELS), default="cae", help="plain or variational autoencoder (default: %(default)s)"
    )
    training.add_argument(
        "--width", metavar="N", type=arguments.positive_int, default=32, help="its channels (default: %(default)s)"
    )
    training.add_argument(
        "--epochs",
        metavar="N",
        type=arguments.positive_int,
        help=f"passes (default: {_PAPERS.epochs}, with --score balanced {_BALANCED.epochs}; with --resume, as many as "
        "the run was to have)",
    )
    training.add_argument(
        "--seed",
        metavar="N",
        type=arguments.seed,
        default=0,
        help="of the split, the model's first weights and the order of the images (default: %(default)s)",
    )
    training.add_argument(
        "--alpha",
        type=arguments.weight,
        help=f"weight of the gradient constraint in training (default: {_PAPERS.alpha}, with --score balanced "
        f"{_BALANCED.alpha})",
    )
    training.add_argument(
        "--score",
        choices=SCORES,
        help="what decides what is an outlier: gradcon is the paper's score, alone; balanced one that weighs the code "
        "too, on the scale of held-out images, trained for; any other a part of these; auto the part that notices "
        "synthetic damage (default: auto; with --resume, what the detector in OUT was trained with)",
    )
    training.add_argument(
        "--false-alarms",
        metavar="RATE",
        type=arguments.rate,
        help="share of normal images that a verdict may call outliers (default: 0.01, or the smallest that the number "
        "of calibration images allows)",
    )
    training.add_argument(
        "--average",
        choices=("objective", "primal"),
        default="objective",
        help="the gradients that are averaged: of the whole objective, or of the loss alone (default: %(default)s)",
    )
    training_options.add_pace(training)
    training.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="float32",
        help="of the forward pass in training; bfloat16 is for GPUs that have it (default: %(default)s)",
    )
    arguments.add_batch_size(training, 64)
    arguments.add_device(training)

    training_options.add_trackers(training)
    again = training.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true", help="go on with the run in OUT; --epochs may be more than before"
    )
    again.add_argument(
        "--overwrite", action="store_true", help="replace the run in OUT, or begin one next to other files"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help=f"options in TOML, such as epochs = 50, which those of the command line override; OUT gets a {CONFIG} "
        "that repeats the run",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Train and save a detector; return the exit code."""
    _check(args)
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
    reader = reader_of(args, preparation_of(args, DEFAULT_SIZE), args.quiet)
    before = _facts_before(args)
    images = _images(args, before, reader)
    reader.report()
    score = args.score or score_before(before)
    settings = _BALANCED if score == "balanced" else _PAPERS
    refuse_unfit(score, args.false_alarms, images)
    channels, height, width = as_image_dataset(images.train).shape
    torch.manual_seed(args.seed)
    trainer = Trainer(
        _MODELS[args.model](channels, (height, width), args.width),
        alpha=settings.alpha if args.alpha is None else args.alpha,
        **training_options.pace_of(args),
        batch_size=args.batch_size,
        epochs=args.epochs or _default_epochs(args, settings),
        seed=args.seed,
        device=args.device,
        average=args.average,
        precision=args.precision,
        out=args.out,
        overwrite=args.overwrite,
        progress=not args.quiet and sys.stderr.isatty(),
        data=images.facts,
        preprocessing=images.preprocessing,
    )
    trainer.check()
    if args.overwrite:
        remove_own(args.out, DETECTOR, *EVALUATIONS)
    options = _options(args, trainer, score)
    with training_options.tracked(args, options) as trainer.log:
        detector = _fit(trainer, images, args.resume)
    finished = finish(detector, images, score, args.false_alarms, args.device, with_proxy=not args.quiet)
    finished.detector.save(args.out / DETECTOR)
    remove_own(args.out, *EVALUATIONS)  # of the detector before, after --resume
    remove_caches(args.out)
    if not args.quiet:
        _summarise(finished, images, args)
    return reader.exit_code


def _check(args: argparse.Namespace) -> None:
    """Raise ArgumentError for options that do not go together, which argparse cannot tell."""
    if args.dataset and args.inlier is None:
        raise argparse.ArgumentError(None, "--dataset needs --inlier, the normal class")
    if args.calibrate is False and (args.calibration is not None or args.false_alarms is not None):
        raise argparse.ArgumentError(None, "--calibration and --false-alarms do not go with --no-calibrate")
    if args.score == "latent" and args.model == "cae":
        raise argparse.ArgumentError(None, "--score latent needs a model with a latent loss: --model vae")
    of_folder = ("validation", "calibration", *PREPARATION)
    source, foreign = ("--dataset", of_folder) if args.dataset else ("--images", ("inlier",))
    for name in foreign:
        if getattr(args, name) is not None:
            raise argparse.ArgumentError(None, f"--{name.replace('_', '-')} does not go with {source}")


def _default_epochs(args: argparse.Namespace, settings: _Settings) -> int:
    """As many as the run was to have, lest a resumed one end otherwise than it would have."""
    if not (args.resume and (args.out / CHECKPOINT).exists()):
        return settings.epochs
    epochs = planned_epochs(args.out / CHECKPOINT)
    if epochs is None:
        raise ValueError(f"{args.out / CHECKPOINT} does not say how many epochs its run was to have: give --epochs")
    return epochs


def _options(args: argparse.Namespace, trainer: Trainer, score: str) -> dict[str, Any]:
    """Write all options of the run into its folder, and return them; they are printed where some came from a file."""
    options = {name: value for name, value in args.options.items() if name not in _OF_ONE_CALL}
    options |= {"alpha": trainer.alpha, "epochs": trainer.epochs, "score": score}
    text = to_toml(CONFIG_HEAD, options)
    with replace_file(args.out / CONFIG) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if args.config is not None and not args.quiet:
        print(text)
    return options


def _facts_before(args: argparse.Namespace) -> dict[str, Any] | None:
    """What the detector says whose run is resumed, if it is there."""
    path = args.out / DETECTOR
    return read_facts(path) if args.resume and path.exists() else None


def _images(args: argparse.Namespace, before: Mapping[str, Any] | None, reader: ImageReader) -> TrainingImages:
    calibrate = args.calibrate
    if calibrate is None:
        calibrate = bool(args.images or args.false_alarms) if before is None else was_calibrated(before)
    if args.dataset:
        size = args.size or _DEFAULT_SIZES.get(args.dataset, DEFAULT_SIZE)
        return from_data_set(args.dataset, args.inlier, args.seed, size, args.data_root, calibrate)
    others = {"validation": args.validation, "calibration": args.calibration}
    return from_folder(args.images, others, args.seed, reader, args.out, calibrate)


def _fit(trainer: Trainer, images: TrainingImages, resume: bool) -> Detector:
    try:
        with logging_redirect_tqdm():  # so that a warning does not break the progress bar
            return trainer.fit(images.train, images.validation, resume)
    except KeyboardInterrupt:
        print("With --resume, and without --overwrite, it goes on after the last finished epoch.", file=sys.stderr)
        raise


def _summarise(finished: Finished, images: TrainingImages, args: argparse.Namespace) -> None:
    facts = finished.detector.training
    print(
        f"Trained on {facts['train_images']} images for {facts['seconds']:.0f} s. Of {facts['epochs']} epochs, "
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
