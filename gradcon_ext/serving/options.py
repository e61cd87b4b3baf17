"""The options of `gradcon serve`, and what it runs; with torch and without."""

from __future__ import annotations

import argparse
from dataclasses import MISSING, fields
from pathlib import Path

from gradcon_ext.serving.settings import Settings

LOOPBACK = "127.0.0.1"

_HELP = {
    "batch_wait": "milliseconds that a request waits for others to be scored with",
    "batch_size": "images of a batch at most",
    "threads": "threads that score, and as many that decode",
    "max_body": "bytes of a request at most",
    "max_pixels": "of an image file at most",
    "max_images": "of a request at most",
    "max_heat_maps": "of a request at most",
    "max_requests": "at work at once; others are told to come again (503)",
    "max_memory": "bytes of all requests at work; likewise",
    "timeout": "seconds to receive a request (408), and to answer it (504)",
    "grace": "seconds for the requests at work, once the server is told to end",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("detector", metavar="DETECTOR", type=Path, help="a run's folder, or a detector's file")
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (default: %(default)s, this machine)")
    parser.add_argument("--port", type=_port, default=8000, help="0 is a free one (default: %(default)s)")
    for field in fields(Settings):
        is_computed = field.default is MISSING
        default = "as many as processors" if is_computed else "%(default)s"
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            metavar="N",
            type=float if isinstance(field.default, float) else int,
            default=None if is_computed else field.default,
            help=f"{_HELP[field.name]} (default: {default})",
        )


def serve_as_asked(args: argparse.Namespace) -> None:
    """Serve as the options say.

    Raises:
        OSError: as `gradcon_ext.serving.server.serve`.
        ValueError: likewise, or a limit that makes no sense.
        RuntimeError: the extra `serve` is not installed.
    """
    given = {field.name: getattr(args, field.name) for field in fields(Settings)}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    try:
        from gradcon_ext.serving.server import serve
    except ImportError as error:
        raise RuntimeError(f"{error}: pip install 'gradcon_ext[serve]' has what a server needs") from error
    serve(args.detector, args.host, args.port, settings)


def _port(text: str) -> int:
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text[:100]!r}")
    return int(text)
