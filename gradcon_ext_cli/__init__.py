"""The script `gradcon`: outside of gradcon_ext, so that it can say in one message why that cannot be imported."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line; see `gradcon_ext.cli.main` for the exit codes."""
    try:
        from gradcon_ext.cli import main as run
    except ImportError as error:
        print(f"gradcon: error: {error}", file=sys.stderr)
        return 1
    return run()
