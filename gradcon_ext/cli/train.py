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
from torch import nn
from tqdm.contrib.logging import logging_redirect_tqdm

from gradcon_ext.chain.upsampling import PUBLISHED_DEPTH
from gradcon_ext.cli import arguments, reading_options, taking_options, training_options
from gradcon_ext.cli.config import to_toml
from gradcon_ext.cli.finishing import SCORES, Finished, finish, refuse_unfit, score_before, was_calibrated
from gradcon_ext.cli.image_reader import ImageReader, own_pixel_limit
from gradcon_ext.cli.reading_options import DEFAULT_SIZE, PREPARATION, preparation_of, reader_of
from gradcon_ext.cli.run_files import refuse_used
from gradcon_ext.cli.taking import Taking, refuse_placing, taking_of
from gradcon_ext.cli.training_images import TrainingImages, from_data_set, from_folder
from gradcon_ext.data import DATA_SETS
from gradcon_ext.data.image_size import height_width
from gradcon_ext.data.images import as_image_dataset
from gradcon_ext.data.reading import find_images, remove_caches
from gradcon_ext.detector.detector import Detector, read_facts
from gradcon_ext.detector.facts import scores_tiles
from gradcon_ext.detector.place import CHECKPOINT, DETECTOR
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder, FeatureAutoencoder, fitting_depth
from gradcon_ext.scoring import balancing
from gradcon_ext.storage.files import replace_file
from gradcon_ext.storage.lock import reserved
from gradcon_ext.training.checkpoint import planned_epochs, settings_of
from gradcon_ext.training.precision import Precision
from gradcon_ext.training.run_contents import CONFIG, CONFIG_HEAD, EVALUATIONS, HISTORY, holds_run, remove_own
from gradcon_ext.training.trainer import Trainer

_MODELS = {"cae": ConvAutoencoder, "vae": ConvVariationalAutoencoder}
_DEFAULT_SIZES = {"digits": 8}
_DEFAULT_WIDTH, _DEFAULT_CODE = 32, 128


class _Settings(NamedTuple):
    """How training is by default."""

    alpha: float
    epochs: int


_PAPERS = _Settings(alpha=0.03, epochs=30)
_BALANCED = _Settings(balancing.ALPHA, balancing.EPOCHS)
_TILE_EPOCHS = 6
"""A tile is much like others, so that fewer passes do (`benchmarks/magnetic_tile.py`)."""

_OF_ONE_CALL = ("config", "resume", "overwrite", "quiet")
"""Options that say nothing of what is trained."""

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
for --config). While a run is at work, .lock and .lock.json keep others out; those of a killed one do no harm.
Images of a folder are read once, into .images-*.cache, which an interrupted run
leaves for --resume and a finished one removes.
"""

_EXAMPLES = """\
  gradcon train --dataset mnist --inlier 8 --data-root data --out runs/mnist-8
  gradcon train --images photos --size 64 --epochs 100 --out runs/photos
  gradcon train --images photos --size 64 --epochs 200 --out runs/photos --resume
  gradcon train --images photos --tile 32 --stride 16 --scale 0.5 --out runs/tiles
  gradcon train --images photos --size 128 --tile 16 --stride 8 --even-contrast --out runs/parts
  gradcon train --images photos --features timm:resnet18 --stages 2,3 --grid 14 --out runs/features
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

    taking_options.add_taking(parser.add_argument_group("tiles, with --images"))

    training = parser.add_argument_group("training")
    training.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the run; made if need be")
    training.add_argument(
        "--model",
        choices=tuple(_MODELS),
        help="plain or variational autoencoder (default: cae); of features a linear one",
    )
    training.add_argument(
        "--width",
        metavar="N",
        type=arguments.positive_int,
        help=f"its channels (default: {_DEFAULT_WIDTH}), or with --features the numbers of its code (default: "
        f"{_DEFAULT_CODE})",
    )
    training.add_argument(
        "--depth",
        metavar="N",
        type=arguments.depth,
        help="convolutions of its encoder, and of its decoder (default: the paper's 4 up to 33 pixels, and one more "
        "for each doubling, 8 for 512; with --resume, those of the run in OUT)",
    )
    training.add_argument(
        "--epochs",
        metavar="N",
        type=arguments.positive_int,
        help=f"passes (default: {_PAPERS.epochs}, with --score balanced {_BALANCED.epochs}, of tiles {_TILE_EPOCHS}; "
        "with --resume, as many as the run was to have)",
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
        help=f"weight of the gradient constraint in training (default: {_PAPERS.alpha}; with --score balanced, and of "
        f"tiles unless --score gradcon is given, {_BALANCED.alpha})",
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
    resumed = _settings_before(args)
    taking = _taking(args, resumed)
    if taking.reason and not args.quiet:
        print(taking.reason, flush=True)
    network = taking.network(args.device)
    reader = reader_of(args, preparation_of(args, taking.size), args.quiet)
    before = _facts_before(args)
    images = _images(args, before, reader, taking)
    reader.report()
    score = args.score or score_before(before)
    settings = _defaults(score, taking)
    refuse_unfit(score, args.false_alarms, images)
    cut = taking.cut(images.train, network)
    learned = images if cut is None else images.in_tiles(cut, taking.tiles, args.seed)
    torch.manual_seed(args.seed)
    trainer = Trainer(
        _model(args, as_image_dataset(learned.train, features=taking.features is not None).shape, taking, resumed),
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
        data={**images.facts, **taking.facts()},
        preprocessing=images.preprocessing,
    )
    trainer.check()
    if args.overwrite:
        remove_own(args.out, DETECTOR, *EVALUATIONS)
    options = _options(args, trainer, score, taking)
    with training_options.tracked(args, options) as trainer.log:
        detector = _fit(trainer, learned, args.resume)
    finished = finish(detector, images, score, args.false_alarms, args.device, with_proxy=not args.quiet, cut=cut)
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


def _taking(args: argparse.Namespace, resumed: Mapping[str, Any] | None) -> Taking:
    if args.dataset:
        return Taking(height_width(args.size or _DEFAULT_SIZES.get(args.dataset, DEFAULT_SIZE)))
    taking = taking_of(args, find_images(args.images, "train").files, resumed)
    refuse_placing(args, taking)
    return taking


def _defaults(score: str, taking: Taking) -> _Settings:
    settings = _BALANCED if score == "balanced" else _PAPERS
    if taking.tiling is None:
        return settings
    return _Settings(_PAPERS.alpha if score == "gradcon" else _BALANCED.alpha, _TILE_EPOCHS)


def _model(
    args: argparse.Namespace, shape: tuple[int, int, int], taking: Taking, resumed: Mapping[str, Any] | None
) -> nn.Module:
    channels, *size = shape
    if taking.features is not None:
        return FeatureAutoencoder(channels, size, args.width or _DEFAULT_CODE)
    depth = args.depth
    if depth is None and resumed is not None:
        depth = resumed["model"].get("depth", PUBLISHED_DEPTH)
    model = _MODELS[args.model or "cae"]
    return model(channels, size, args.width or _DEFAULT_WIDTH, depth or fitting_depth(*size))


def _settings_before(args: argparse.Namespace) -> dict[str, Any] | None:
    """The settings of the run that is resumed, if there is one."""
    path = args.out / CHECKPOINT
    if not (args.resume and path.exists()):
        return None
    settings = settings_of(path)
    if not isinstance(settings.get("model"), dict):
        raise ValueError(f"{path} does not say which model its run trains")
    return settings


def _default_epochs(args: argparse.Namespace, settings: _Settings) -> int:
    """As many as the run was to have, lest a resumed one end otherwise than it would have."""
    if not (args.resume and (args.out / CHECKPOINT).exists()):
        return settings.epochs
    epochs = planned_epochs(args.out / CHECKPOINT)
    if epochs is None:
        raise ValueError(f"{args.out / CHECKPOINT} does not say how many epochs its run was to have: give --epochs")
    return epochs


def _options(args: argparse.Namespace, trainer: Trainer, score: str, taking: Taking) -> dict[str, Any]:
    """Write all options of the run into its folder, and return them; they are printed where some came from a file."""
    options = {name: value for name, value in args.options.items() if name not in _OF_ONE_CALL}
    if args.images:
        for name in ("stages", "features"):  # timm's stages are in the name of its network
            options.pop(name, None)
        options |= taking.options
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
        f"Trained on {_of_what(finished.detector, images)} for {facts['seconds']:.0f} s. Of {facts['epochs']} epochs, "
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


def _of_what(detector: Detector, images: TrainingImages) -> str:
    count = detector.training["train_images"]
    if not scores_tiles(detector.preprocessing):
        return f"{count} images"
    return f"{count} tiles of {len(as_image_dataset(images.train))} images"


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
