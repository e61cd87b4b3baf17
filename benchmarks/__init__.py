"""Benchmarks: `pytest benchmarks`, one file a question; `python -m benchmarks.report` holds all against their bars."""

import os

THREADS = 2
# Here, because torch reads it when it is imported; the processes that a benchmark starts have it too.
os.environ["OMP_NUM_THREADS"] = str(THREADS)
