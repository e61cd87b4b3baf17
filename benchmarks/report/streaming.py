"""Peak memory of a process that scores a stream: `python -m benchmarks.report.streaming FIRST LAST` prints it as JSON.

It reads the peak after FIRST and after LAST images, which a generator makes and nobody keeps.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import THREADS
from benchmarks.scorers import fused_scorer
from benchmarks.workload import autoencoder

BATCH = 512


def peak_memory() -> int:
    """The largest resident size of this process so far, in KiB.

    Not from `getrusage`: its peak is inherited from the process that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def images(number: int) -> Iterator[Tensor]:
    for start in range(0, number, BATCH):
        yield torch.rand(min(BATCH, number - start), 1, 28, 28)


def main(first: int, last: int) -> None:
    torch.set_num_threads(THREADS)
    scorer = fused_scorer(autoencoder(channels=1, samples=1))
    begin = time.perf_counter()
    peaks = {}
    for number in (first, last - first):
        for _ in scorer.score_batches(images(number)):
            pass
        peaks[first if not peaks else last] = peak_memory()
    print(json.dumps({"peak_kib": peaks, "seconds": time.perf_counter() - begin}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
