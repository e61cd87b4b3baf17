"""How long importing the package takes, and its part without torch: processor time of fresh processes that take turns.

    python -m benchmarks.imports [FOLDER...] [--rounds 20]

Each folder has one installed (`pip install --no-deps --target FOLDER .`), so that one can be held against another;
without folders it is that of the environment. Processor time, since that of the clock tells more of the neighbours.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.examples.markdown import table

MODULES = ("gradcon_ext", "gradcon_ext.runtime")
TIMED = "import time; begin = time.process_time(); import {}; print(1000 * (time.process_time() - begin))"


def milliseconds(module: str, folder: Path | None) -> float:
    """What one import takes; not in the folder of the source, which would come first."""
    path = {} if folder is None else {"PYTHONPATH": str(folder.resolve())}
    command = [sys.executable, "-c", TIMED.format(module)]
    done = subprocess.run(command, env=os.environ | path, cwd=sys.prefix, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    contenders = [(folder, module) for folder in options.folders or [None] for module in MODULES]
    rounds = [[milliseconds(module, folder) for folder, module in contenders] for _ in range(options.rounds + 1)]
    rows = []
    of_each = zip(*rounds[1:], strict=True)  # The first fills the cache of files.
    for (folder, module), times in zip(contenders, of_each, strict=True):
        rows.append([str(folder or "installed"), module, f"{statistics.median(times):.1f}", f"{min(times):.1f}"])
    print(table(["where", "module", "ms, median", "least"], rows))


if __name__ == "__main__":
    main()
