"""The options that say how image files are read, alike in all commands."""

from __future__ import annotations

import argparse
from typing import get_args

from PIL import ImageColor

from gradcon_ext.cli import arguments
from gradcon_ext.cli.image_reader import ImageReader
from gradcon_ext.data.image_size import Size
from gradcon_ext.data.reading import Preparation
from gradcon_ext.data.reading.fitting import Fit

MAX_PIXELS = 89_478_485
"""A quarter of a gigabyte in RGB, which is Pillow's own limit."""

DEFAULT_SIZE = 28
WHITE = (255, 255, 255)

PREPARATION = ("channels", "fit", "range", "background", "frames", "reduced_jpeg")
"""Names of the options of `add_preparation` that go with image files alone."""


def add_preparation(parser: arguments.Group) -> None:
    """Add the options whose values a detector keeps."""
    parser.add_argument("--channels", type=int, choices=(1, 3), help="1 for grey, 3 for colour (default: 3)")
    parser.add_argument(
        "--size",
        metavar="PIXELS",
        type=image_size,
        help="height and width that images are brought to, as 256 or 480x640 (default with --dataset: 28, for digits "
        "8; of image files: their own or, of several, about the median; above 64 pixels in tiles of 32, which are cut "
        "at half size if no side is below 256. The first line of the output says it)",
    )
    parser.add_argument(
        "--fit",
        choices=get_args(Fit),
        help="squash whatever the proportions, or keep them and pad the borders or crop both sides (default: squash)",
    )
    parser.add_argument(
        "--range",
        metavar="auto|MIN,MAX",
        type=value_range,
        help="values that count as 0 and 1; auto takes them from the images to learn from: of 8 bits 0 to 255, of more "
        "those of the fewest of 10, 12, 14 or 16 bits that hold all, of floating point 0 to 1, or least to greatest. "
        "With a negative number: --range=-1,1 (default: auto)",
    )
    parser.add_argument(
        "--background",
        metavar="COLOUR",
        type=background,
        help="what is behind transparent images and in padded borders: a name, #rrggbb, or none to ignore opacity and "
        "pad with black (default: white)",
    )
    add_frames(parser, "first")
    parser.add_argument(
        "--reduced-jpeg",
        action="store_true",
        default=None,
        help="decode a JPEG at 1/2, 1/4 or 1/8 where that is still twice the size; faster, and other pixels",
    )


def add_frames(parser: arguments.Group, default: str) -> None:
    """Add `--frames`."""
    parser.add_argument(
        "--frames",
        metavar="first|all|N",
        type=frames,
        help="of files with several frames: the first, every one, or number N from 0; frames that a list names are "
        f"read whichever this is (default: {default})",
    )


def add_reading(parser: arguments.Group, on_error: str) -> None:
    """Add the options that change no pixel."""
    parser.add_argument(
        "--on-error",
        choices=("skip", "fail"),
        default=on_error,
        help="skip images that cannot be read, and end with exit code 3, or fail at the first (default: %(default)s)",
    )
    parser.add_argument(
        "--max-pixels",
        metavar="N",
        type=arguments.positive_int,
        default=MAX_PIXELS,
        help="images of more cannot be read (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=arguments.workers,
        help="threads that decode images (default: as many as there are processors)",
    )


def reader_of(args: argparse.Namespace, preparation: Preparation, quiet: bool = False) -> ImageReader:
    """Make the reader that the options ask for."""
    return ImageReader(preparation, args.on_error == "skip", args.workers, quiet)


def preparation_of(args: argparse.Namespace, size: tuple[int, int] | None) -> Preparation:
    """Return what the options of `add_preparation` and `add_reading` say; the range is None where it is automatic.

    Args:
        args: the options.
        size: that images are brought to, whatever `--size` says; None leaves each at its own.
    """
    return Preparation(
        channels=args.channels or 3,
        size=size,
        fit=args.fit or "squash",
        range=None if args.range in (None, "auto") else args.range,
        background=None if args.background == "none" else args.background or WHITE,
        frame=args.frames or 0,
        reduced_jpeg=bool(args.reduced_jpeg),
        max_pixels=args.max_pixels,
    )


def image_size(text: str) -> Size:
    """Parse the height and width of images, such as 256 or 480x640."""
    lengths = tuple(map(arguments.pixels, text.split("x")))
    if len(lengths) > 2:
        raise argparse.ArgumentTypeError(f"expected one number or HEIGHTxWIDTH, got {text[:100]!r}")
    return lengths if len(lengths) == 2 else lengths[0]


def value_range(text: str) -> tuple[float, float] | str:
    """Parse a range of values, least before greatest."""
    if text == "auto":
        return text
    try:
        low, high = map(float, text.split(","))
        return Preparation.read({"channels": 1, "size": 1, "range": [low, high]}).range or text
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected auto, or MIN,MAX with MIN below MAX, got {text[:100]!r}") from None


def background(text: str) -> tuple[int, int, int] | str:
    """Parse a colour."""
    if text == "none":
        return text
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a colour or none, got {text[:100]!r}") from None


def frames(text: str) -> int | str:
    """Parse which of several frames are taken."""
    if text in ("first", "all"):
        return 0 if text == "first" else text
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"expected first, all, or a number from 0, got {text[:100]!r}")
    return int(text)
