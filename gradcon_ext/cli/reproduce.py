"""`gradcon reproduce`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gradcon_ext.cli import arguments
from gradcon_ext.cli.ray_options import add_ray, cluster_of
from gradcon_ext.reproduce import LENGTH, MAIN, TARGETS, Reproduction, Table
from gradcon_ext.reproduce.length import DATASETS as LENGTH_DATASETS
from gradcon_ext.reproduce.splits import cure_tsr_path

_ALL = "all"

_DETAILS = """\
Trains what is missing, many models at once, scores the test images, and sets
the metrics beside the published ones. Finished experiments are used again;
after an interruption the same command goes on where it was.

OUT receives NAME.md and NAME.csv of tables, NAME.png, NAME.csv and NAME.md of
figures, records/ (the metrics of every experiment, a file a data set), and
runs/ (the models).
"""

_EXAMPLES = """\
  gradcon reproduce table3 --data-root data --seeds 1 --epochs 50
  gradcon reproduce table1 fig3 --data-root data --classes 0 8
  gradcon reproduce length --data-root data --datasets cifar10 --seeds 1 --epochs 1000
  gradcon reproduce all --data-root data --epochs 1000 --device cuda
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "repeat the experiments of the paper"
    parser = arguments.add_command(commands, "reproduce", summary, _DETAILS, _EXAMPLES)
    parser.add_argument(
        "targets",
        metavar="TARGET",
        nargs="+",
        choices=(*TARGETS, _ALL),
        help=f"{', '.join(MAIN)} (what matters for the numbers), {_ALL} of these; {LENGTH} (AUROC against the epoch)",
    )
    parser.add_argument(
        "--classes",
        metavar="CLASS",
        nargs="+",
        default=(),
        help="inlier classes by name, or by index, which every data set has (default: all)",
    )
    parser.add_argument(
        "--datasets",
        metavar="NAME",
        nargs="+",
        default=(),
        choices=LENGTH_DATASETS,
        help=f"of length: some of {', '.join(LENGTH_DATASETS)} (default: all)",
    )
    parser.add_argument(
        "--seeds", metavar="N", type=arguments.positive_int, default=5, help="runs of each kind (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs", metavar="N", type=arguments.positive_int, default=50, help="passes (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=arguments.path,
        default=Path("results"),
        help="folder of the results (default: %(default)s)",
    )
    arguments.add_data_root(parser)
    arguments.add_device(parser)
    add_ray(parser, "train on a Ray cluster, a task a run, with --out and --data-root on what all nodes share")
    parser.add_argument("--quiet", action="store_true", help="no progress bars, no tables")
    return parser


def run(args: argparse.Namespace) -> None:
    """Reproduce tables and figures."""
    by_name = [_all_targets(args.data_root) if name == _ALL else (name,) for name in dict.fromkeys(args.targets)]
    targets = tuple(dict.fromkeys(target for names in by_name for target in names))
    reproduction = Reproduction(
        out=args.out,
        data_root=args.data_root,
        epochs=args.epochs,
        seeds=args.seeds,
        classes=args.classes,
        datasets=tuple(dict.fromkeys(args.datasets)),
        device=str(args.device),
        progress=not args.quiet and sys.stderr.isatty(),
        cluster=cluster_of(args),
    )
    reproduction.prepare(targets)
    for target in targets:
        result = reproduction.build(target)
        paths = result.save(args.out, target)
        if not args.quiet:
            print(result.markdown() if isinstance(result, Table) else result.caption)
            print(f"Wrote {', '.join(path.name for path in paths)} to {args.out}.\n")


def _all_targets(data_root: Path | None) -> tuple[str, ...]:
    """What `all` is, but for the target of a data set which has to be asked for from its authors, if it is missing."""
    try:
        cure_tsr_path(data_root)
    except FileNotFoundError as error:
        print(f"Without fig4: {error}.", file=sys.stderr)
        return tuple(target for target in MAIN if target != "fig4")
    return MAIN
