"""Options of `train` for how a run goes on, and who is told of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, get_args

from gradcon_ext.cli import arguments
from gradcon_ext.cli.progress import epoch_lines
from gradcon_ext.training import trackers
from gradcon_ext.training.history import Log
from gradcon_ext.training.schedule import Shape


def add_pace(group: arguments.Group) -> None:
    """Add the options of the learning rate and the length of a run."""
    group.add_argument(
        "--lr",
        type=arguments.learning_rate,
        default=1e-3,
        help="learning rate of Adam; with a schedule, the highest (default: %(default)s)",
    )
    group.add_argument(
        "--schedule",
        choices=get_args(Shape),
        default="constant",
        help="how the learning rate goes on: falling towards 0 at the last of --epochs, or not (default: %(default)s)",
    )
    group.add_argument(
        "--warmup",
        metavar="N",
        type=arguments.count,
        default=0,
        help="epochs in which the learning rate rises first (default: %(default)s)",
    )
    group.add_argument(
        "--patience",
        metavar="N",
        type=arguments.positive_int,
        help="end after N epochs that were not the best so far (default: only after --epochs)",
    )
    group.add_argument(
        "--checkpoint-every",
        metavar="N",
        type=arguments.positive_int,
        default=1,
        help="epochs after which --resume can go on, beside the last (default: %(default)s)",
    )


def add_trackers(group: arguments.Group) -> None:
    """Add the options of trackers."""
    group.add_argument(
        "--tensorboard",
        metavar="DIR",
        type=arguments.path,
        help="write the metrics of each epoch for TensorBoard, into DIR",
    )
    group.add_argument(
        "--mlflow",
        metavar="EXPERIMENT",
        help="send them to MLflow, as a run of this experiment, where MLFLOW_TRACKING_URI says",
    )


def pace_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `Trainer` that `add_pace` has options for."""
    return {name: getattr(args, name) for name in ("lr", "schedule", "warmup", "patience", "checkpoint_every")}


@contextmanager
def tracked(args: argparse.Namespace, options: Mapping[str, Any]) -> Iterator[Log | None]:
    """Give the log of the trackers that are asked for, and of lines where no terminal shows a bar, if any.

    Args:
        args: of the command.
        options: of the run, which MLflow shows; "epochs" and "lead-in" are among them.

    Raises:
        ValueError: a tracker is not installed, or refuses.
    """
    with ExitStack() as stack:
        logs = []
        if args.tensorboard is not None:
            with _installed("tensorboard"):
                logs.append(stack.enter_context(trackers.tensorboard(args.tensorboard)))
        if args.mlflow is not None:
            with _installed("mlflow"):
                logs.append(stack.enter_context(trackers.mlflow(args.mlflow, options, args.out.name)))
        if not args.quiet and not sys.stderr.isatty():
            logs.append(stack.enter_context(epoch_lines(options["lead-in"] + options["epochs"])))
        yield None if not logs else lambda metrics, epoch: [log(metrics, epoch) for log in logs]


@contextmanager
def _installed(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ValueError(f"--{name}: {error}; to mend it: pip install 'gradcon_ext[{name}]'") from error
