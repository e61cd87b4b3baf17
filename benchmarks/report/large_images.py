"""Peak memory of scoring a stream of large images: `python -m benchmarks.report.large_images SIZE` prints it in KiB.

What the images of a batch take is not in, nor what a process takes that has scored a small one; the verification of the
first batch is.
"""

from __future__ import annotations

import sys

import torch

from benchmarks import THREADS
from benchmarks.report.streaming import peak_memory
from benchmarks.workload import autoencoder
from gradcon_ext import Scorer

BATCH = 8
BATCHES = 2


def main(size: int) -> None:
    torch.set_num_threads(THREADS)
    small = autoencoder(samples=1)
    Scorer(small.model, small.references).score(small.images)
    workload = autoencoder(size=size, samples=BATCH)
    before = peak_memory()
    scorer = Scorer(workload.model, workload.references)
    for _ in scorer.score_batches(workload.images for _ in range(BATCHES)):
        pass
    engine = scorer.engine_for((3, size, size))
    assert engine.name == "fused chain", engine.reason
    print(peak_memory() - before)


if __name__ == "__main__":
    main(int(sys.argv[1]))
