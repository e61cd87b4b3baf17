"""`gradcon serve` where there is no torch: `python -m gradcon_ext.serving DETECTOR`."""

from __future__ import annotations

import argparse
import sys

from gradcon_ext.serving.options import add_options, serve_as_asked


def main() -> int:
    """Serve until a signal; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gradcon_ext.serving", allow_abbrev=False)
    add_options(parser)
    args = parser.parse_args()
    try:
        serve_as_asked(args)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"gradcon_ext.serving: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
