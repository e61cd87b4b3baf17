"""The options of `gradcon train` for which model it trains."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from torch import nn

from gradcon_ext.chain.upsampling import PUBLISHED_DEPTH
from gradcon_ext.cli import arguments
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder, FeatureAutoencoder, fitting_depth

_MODELS = {"cae": ConvAutoencoder, "vae": ConvVariationalAutoencoder}
_DEFAULT_WIDTH, _DEFAULT_CODE = 32, 128


def add_model(group: arguments.Group) -> None:
    """Add the options of the model."""
    group.add_argument(
        "--model",
        choices=tuple(_MODELS),
        help="plain or variational autoencoder (default: cae); of features a linear one",
    )
    group.add_argument(
        "--width",
        metavar="N",
        type=arguments.positive_int,
        help=f"its channels (default: {_DEFAULT_WIDTH}), or with --features the numbers of its code (default: "
        f"{_DEFAULT_CODE})",
    )
    group.add_argument(
        "--depth",
        metavar="N",
        type=arguments.depth,
        help="convolutions of its encoder, and of its decoder (default: the paper's 4 up to 33 pixels, and one more "
        "for each doubling, 8 for 512; with --resume, those of the run in OUT)",
    )


def model_of(
    args: argparse.Namespace, shape: tuple[int, int, int], of_features: bool, resumed: Mapping[str, Any] | None
) -> nn.Module:
    """Make the model that the options of `add_model` ask for, or leave open.

    Args:
        args: the options.
        shape: (C, H, W) of what it learns from.
        of_features: whether that are feature maps.
        resumed: settings of the run that is resumed, which has a depth already; None for a new run.
    """
    channels, *size = shape
    if of_features:
        return FeatureAutoencoder(channels, size, args.width or _DEFAULT_CODE)
    depth = args.depth
    if depth is None and resumed is not None:
        depth = resumed["model"].get("depth", PUBLISHED_DEPTH)
    model = _MODELS[args.model or "cae"]
    return model(channels, size, args.width or _DEFAULT_WIDTH, depth or fitting_depth(*size))
