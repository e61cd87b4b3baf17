"""`gradcon serve`."""

from __future__ import annotations

import argparse

from gradcon_ext.cli import arguments
from gradcon_ext.serving.options import add_options, serve_as_asked

_DETAILS = """\
POST /score takes image files in a form (multipart/form-data), one file
(image/*), or an array: raw bytes (application/octet-stream) with ?shape=N,C,H,W,
or .npy. It answers with a row an image, of the names that gradcon score has;
?heat_map=true adds a picture of where the reconstruction is off.

GET /detector, /health, /ready and /metrics (Prometheus) tell the rest. There is
no authentication, and nothing but this machine is listened to unless --host
says so. SIGTERM ends it once all that it has begun is answered.

Needs pip install 'gradcon_ext[serve]', and no torch: where there is none,
python -m gradcon_ext.serving DETECTOR is the same.
"""

_EXAMPLES = """\
  gradcon serve runs/photos --port 8000
  curl -F image=@photo.png http://127.0.0.1:8000/score
"""


def add_parser(commands: arguments.Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "answer requests for scores over HTTP"
    parser = arguments.add_command(commands, "serve", summary, _DETAILS, _EXAMPLES)
    add_options(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Serve until a signal."""
    serve_as_asked(args)
