"""The command `gradcon`, also as `python -m gradcon_ext`.

It imports nothing of the package before it can say in one message why that cannot be imported.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

__all__ = ["main"]

_STOPS = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    """Run the command line as a process of its own; see `gradcon_ext.cli.main` for the exit codes.

    The first Ctrl-C or SIGTERM is an exception, so that what is under way can tidy up. Before and after that, where
    there is nothing to tidy up or somebody is in a hurry, either ends the process at once.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # otherwise it is ignored, as after `nohup`
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from gradcon_ext.cli import main as run
    except ImportError as error:
        print(f"gradcon: error: {error}", file=sys.stderr)
        return 1
    sys.unraisablehook = _stop_again
    _take_stops()
    return run()


def _take_stops() -> None:
    for number in _STOPS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    for each in _STOPS:
        if signal.getsignal(each) is _stop:
            signal.signal(each, signal.SIG_DFL)
    raise KeyboardInterrupt(number)


def _stop_again(ignored: sys.UnraisableHookArgs) -> None:
    """Where Python ignores exceptions, as in a destructor, a stop would be lost; so it comes again a little later."""
    stop = ignored.exc_value
    if not (isinstance(stop, KeyboardInterrupt) and stop.args):
        sys.__unraisablehook__(ignored)
        return
    _take_stops()
    threading.Timer(0.1, os.kill, (os.getpid(), stop.args[0])).start()


if __name__ == "__main__":
    sys.exit(main())
