"""The parser of `gradcon train`, and which of its options do not go together."""

from __future__ import annotations

import argparse
from typing import get_args

from gradcon_ext.cli import (
    arguments,
    model_options,
    reading_options,
    taking_options,
    training_defaults,
    training_options,
)
from gradcon_ext.cli.config import CommandParser
from gradcon_ext.cli.finishing import SCORES
from gradcon_ext.cli.reading_options import PREPARATION
from gradcon_ext.cli.run_options import options_before
from gradcon_ext.data import DATA_SETS
from gradcon_ext.training.constraint import Average
from gradcon_ext.training.precision import Precision
from gradcon_ext.training.run_contents import CONFIG

_DETAILS = """\
The images are one class of a data set, or a folder of your own normal images.
Of either, 10 % are held out for validation, and the epoch that does best on
them is kept. The same command gives the same detector again.

A verdict needs a third split, for calibration: of a folder it is 10 %, or up
to 20 % where fewer than 99 images, which allow a false-alarm rate of 1 %, would
be held out. A data set's split is the paper's, unless --calibrate is given.

Photographs are cut into tiles unless --size is given: a network sees 32 by 32
pixels at a time, scored on a grid that covers an image of any size. What was
chosen is printed. --features has a network that knows images look at them
first. Tiles of images that --size makes alike are compared with those of the
same place. Validation, calibration and damage are of whole images in any case.

Which part of the score decides is chosen at the end, by how well each notices
synthetic damage of the images held out for validation; --score overrides it.

OUT receives detector.safetensors (all that scoring needs), history.jsonl (one
line an epoch), checkpoint.safetensors (for --resume) and train.toml (all options,
for --config). While a run is at work, .lock and .lock.json keep others out; those
of a killed one do no harm. Images of a folder, unless they are cut into tiles, are
read once, into .images-*.cache, which an interrupted run leaves for --resume and a
finished one removes.
"""

_EXAMPLES = """\
  gradcon train --dataset mnist --inlier 8 --data-root data --out runs/mnist-8
  gradcon train --images photos --size 64 --epochs 100 --out runs/photos
  gradcon train --out runs/photos --resume --epochs 200
  gradcon train --images photos --tile 32 --stride 16 --scale 0.5 --out runs/tiles
  gradcon train --images photos --size 128 --tile 16 --stride 8 --even-contrast --out runs/parts
  gradcon train --images photos --features timm:resnet18 --stages 2,3 --grid 14 --out runs/features
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    parser = arguments.add_command(commands, "train", "train a detector on normal images", _DETAILS, _EXAMPLES)
    _add_images(parser.add_argument_group("images"))
    files = parser.add_argument_group("image files, with --images (--size with --dataset too)")
    reading_options.add_preparation(files)
    reading_options.add_reading(files, on_error="fail")
    taking_options.add_taking(parser.add_argument_group("tiles, with --images"))
    training = parser.add_argument_group("training")
    training.add_argument(
        "--out", metavar="DIR", type=arguments.path, required=True, help="folder of the run; made if need be"
    )
    model_options.add_model(training)
    _add_training(training)
    training_options.add_trackers(training)
    _add_standing(training)
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=arguments.path,
        help=f"options in TOML, such as epochs = 50, which those of the command line override; OUT gets a {CONFIG} "
        "that repeats the run (default: with --resume, that)",
    )
    assert isinstance(parser, CommandParser)
    parser.file_without_config = options_before
    return parser


def refuse_misfits(args: argparse.Namespace) -> None:
    """Raise argparse.ArgumentError for options that do not go together, which argparse cannot tell."""
    if args.dataset and args.inlier is None:
        raise argparse.ArgumentError(None, "--dataset needs --inlier, the normal class")
    if args.calibrate is False and (args.calibration is not None or args.false_alarms is not None):
        raise argparse.ArgumentError(None, "--calibration and --false-alarms do not go with --no-calibrate")
    taking_options.refuse_misfits(args)
    for name in ("model", "depth"):
        if args.features is not None and getattr(args, name) is not None:
            raise argparse.ArgumentError(None, f"--{name} does not go with --features, whose model is linear")
    if args.score == "latent" and args.model != "vae":
        raise argparse.ArgumentError(None, "--score latent needs a model with a latent loss: --model vae")
    of_folder = ("validation", "calibration", *PREPARATION, *taking_options.NAMES)
    source, foreign = ("--dataset", of_folder) if args.dataset else ("--images", ("inlier",))
    for name in foreign:
        if getattr(args, name) is not None:
            raise argparse.ArgumentError(None, f"--{name.replace('_', '-')} does not go with {source}")


def _add_images(group: arguments.Group) -> None:
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", choices=DATA_SETS, help="a data set, from its original files")
    source.add_argument(
        "--images",
        metavar="FOLDER",
        type=arguments.path,
        help="a folder of normal images, searched in depth, or of MVTec AD; or a .csv or .jsonl with their paths",
    )
    group.add_argument("--inlier", metavar="CLASS", help="with --dataset: name or index of the normal class")
    arguments.add_data_root(group)
    group.add_argument(
        "--validation",
        metavar="FOLDER",
        type=arguments.path,
        help="with --images: more normal images, instead of 10 %% of them",
    )
    group.add_argument(
        "--calibration",
        metavar="FOLDER",
        type=arguments.path,
        help="with --images: more normal images, instead of some of them",
    )
    group.add_argument(
        "--calibrate",
        action=argparse.BooleanOptionalAction,
        help="hold images out for p-values and verdicts (default: with --images or --false-alarms; with --resume, as "
        "the run in OUT)",
    )


def _add_training(group: arguments.Group) -> None:
    group.add_argument(
        "--epochs",
        metavar="N",
        type=arguments.positive_int,
        help=f"passes (default: {training_defaults.EPOCHS}; with --resume, as many as the run was to have)",
    )
    group.add_argument(
        "--lead-in",
        metavar="N",
        type=arguments.count,
        help="passes before those of --epochs, without the constraint; their encoder is kept for a decoder that begins "
        f"anew (default: {training_defaults.LEAD_IN}; with --resume, as in the run in OUT)",
    )
    group.add_argument(
        "--seed",
        metavar="N",
        type=arguments.seed,
        default=0,
        help="of the split, the model's first weights and the order of the images (default: %(default)s)",
    )
    group.add_argument(
        "--alpha",
        type=arguments.weight,
        help=f"weight of the gradient constraint in training (default: {training_defaults.ALPHA}; with --resume, "
        "as in the run in OUT)",
    )
    group.add_argument(
        "--score",
        choices=SCORES,
        help="what decides what is an outlier: gradcon is the paper's score, alone; balanced one that weighs the code "
        "too, on the scale of held-out images, trained for; any other a part of these; auto the part that notices "
        "synthetic damage (default: auto; with --resume, what the detector in OUT was trained with)",
    )
    group.add_argument(
        "--false-alarms",
        metavar="RATE",
        type=arguments.rate,
        help="share of normal images that a verdict may call outliers (default: 0.01, or the smallest that the number "
        "of calibration images allows)",
    )
    group.add_argument(
        "--average",
        choices=get_args(Average),
        default="objective",
        help="the gradients that are averaged: of the whole objective, or of the loss alone (default: %(default)s)",
    )
    training_options.add_pace(group)
    group.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="float32",
        help="of the forward pass in training; bfloat16 is for GPUs that have it (default: %(default)s)",
    )
    group.add_argument(
        "--batch-size",
        metavar="N",
        type=arguments.positive_int,
        help=f"images at a time (default: {training_defaults.BATCH_SIZE}; with --resume, as in the run in OUT)",
    )
    arguments.add_device(group)


def _add_standing(group: arguments.Group) -> None:
    """What becomes of the run that is in OUT already."""
    again = group.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true", help="go on with the run in OUT; --epochs may be more than before"
    )
    again.add_argument(
        "--overwrite", action="store_true", help="replace the run in OUT, or begin one next to other files"
    )
