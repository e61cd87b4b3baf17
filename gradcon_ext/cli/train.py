"""`gradcon train`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
from tqdm.contrib.logging import logging_redirect_tqdm

from gradcon_ext.cli import arguments
from gradcon_ext.cli.run_files import DETECTOR, EVALUATIONS, refuse_used, remove
from gradcon_ext.cli.training_images import TrainingImages, from_data_set, from_folder
from gradcon_ext.data import DATA_SETS
from gradcon_ext.detector import Detector
from gradcon_ext.images import as_image_dataset
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.trainer import Trainer

_MODELS = {"cae": ConvAutoencoder, "vae": ConvVariationalAutoencoder}
_DEFAULT_SIZES = {"digits": 8}

_DETAILS = """\
The images are one class of a data set, or a folder of your own normal images.
Of either, 10 % are held out for validation, and the epoch that does best on
them is kept. The same command gives the same detector again.

OUT receives detector.safetensors (all that scoring needs), history.jsonl (one
line an epoch) and checkpoint.safetensors (for --resume).
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
    source.add_argument("--images", metavar="FOLDER", type=Path, help="a folder of normal images, searched in depth")
    images.add_argument("--inlier", metavar="CLASS", help="with --dataset: name or index of the normal class")
    arguments.add_data_root(images)
    images.add_argument(
        "--validation", metavar="FOLDER", type=Path, help="with --images: more normal images, instead of 10 %% of them"
    )
    images.add_argument(
        "--channels", type=int, choices=(1, 3), help="with --images: 1 for grey, 3 for colour (default: 3)"
    )
    images.add_argument(
        "--size",
        metavar="PIXELS",
        type=arguments.positive_int,
        help="height and width that images are resized to (default: 28, for digits 8)",
    )

    training = parser.add_argument_group("training")
    training.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the run; made if need be")
    training.add_argument(
        "--model", choices=tuple(_MODELS), default="cae", help="plain or variational autoencoder (default: %(default)s)"
    )
    training.add_argument(
        "--width", metavar="N", type=arguments.positive_int, default=32, help="its channels (default: %(default)s)"
    )
    training.add_argument(
        "--epochs", metavar="N", type=arguments.positive_int, default=30, help="passes (default: %(default)s)"
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
        type=arguments.non_negative_float,
        default=0.03,
        help="weight of the gradient constraint in training (default: %(default)s)",
    )
    training.add_argument(
        "--average",
        choices=("objective", "primal"),
        default="objective",
        help="the gradients that are averaged: of the whole objective, or of the loss alone (default: %(default)s)",
    )
    training.add_argument(
        "--lr", type=arguments.positive_float, default=1e-3, help="learning rate of Adam (default: %(default)s)"
    )
    arguments.add_batch_size(training, 64)
    arguments.add_device(training)

    again = training.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true", help="go on with the run in OUT; --epochs may be more than before"
    )
    again.add_argument("--overwrite", action="store_true", help="replace the run in OUT")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")
    return parser


def run(args: argparse.Namespace) -> None:
    """Train and save a detector."""
    _check(args)
    if not (args.resume or args.overwrite):
        refuse_used(args.out)
    progress = not args.quiet and sys.stderr.isatty()
    images = _images(args, progress)
    channels, height, width = as_image_dataset(images.train).shape
    torch.manual_seed(args.seed)
    trainer = Trainer(
        _MODELS[args.model](channels, (height, width), args.width),
        alpha=args.alpha,
        lr=args.lr,
        batch_size=args.batch_size,
        epochs=args.epochs,
        seed=args.seed,
        device=args.device,
        average=args.average,
        out=args.out,
        progress=progress,
        data=images.facts,
    )
    if args.overwrite:
        remove(args.out, DETECTOR, *EVALUATIONS)
    detector = _fit(trainer, images, args.resume)
    detector.save(args.out / DETECTOR)
    remove(args.out, *EVALUATIONS)  # of the detector before, after --resume
    if not args.quiet:
        _summarise(detector, args)


def _check(args: argparse.Namespace) -> None:
    """Raise ArgumentError for options that do not go together, which argparse cannot tell."""
    if args.dataset and args.inlier is None:
        raise argparse.ArgumentError(None, "--dataset needs --inlier, the normal class")
    source, foreign = ("--dataset", ("validation", "channels")) if args.dataset else ("--images", ("inlier",))
    for name in foreign:
        if getattr(args, name) is not None:
            raise argparse.ArgumentError(None, f"--{name} does not go with {source}")


def _images(args: argparse.Namespace, progress: bool) -> TrainingImages:
    size = args.size or _DEFAULT_SIZES.get(args.dataset, 28)
    if args.dataset:
        return from_data_set(args.dataset, args.inlier, args.seed, size, args.data_root)
    return from_folder(args.images, args.validation, args.seed, args.channels or 3, size, progress)


def _fit(trainer: Trainer, images: TrainingImages, resume: bool) -> Detector:
    try:
        with logging_redirect_tqdm():  # so that a warning does not break the progress bar
            return trainer.fit(images.train, images.validation, resume)
    except KeyboardInterrupt:
        print("With --resume, and without --overwrite, it goes on after the last finished epoch.", file=sys.stderr)
        raise


def _summarise(detector: Detector, args: argparse.Namespace) -> None:
    facts = detector.training
    print(
        f"Trained on {facts['train_images']} images for {facts['seconds']:.0f} s. Of {facts['epochs']} epochs, "
        f"number {facts['best_epoch']} was the best, with validation objective {facts['validation_objective']:.4f}.\n"
        f"The detector is {args.out / DETECTOR}."
    )
    if args.dataset:
        known = args.data_root is None or str(args.data_root) == os.environ.get("GRADCON_DATA")
        print(f"Next: gradcon evaluate {args.out}{'' if known else f' --data-root {args.data_root}'}")
    else:
        print(
            f"Next: gradcon score {args.out} IMAGES, or gradcon evaluate {args.out} --inliers FOLDER --outliers FOLDER"
        )
