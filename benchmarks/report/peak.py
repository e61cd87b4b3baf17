"""What the machine can do: multiply-adds in registers alone, of the instruction set in use, on all threads."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import gradcon_ext
from benchmarks import THREADS

_SOURCE = Path(__file__).with_suffix(".cpp")
_AVX512 = ["-mavx512f", "-mfma"]
_FLAGS = {"avx512_split": _AVX512, "avx512": _AVX512, "avx2": ["-mavx2", "-mfma"], "default": []}
_ROUNDS = 4_000_000
_REPEATS = 15


def multiply_adds_a_second() -> float:
    """Compile the loop of peak.cpp and return its highest rate: a peak is the most that was seen.

    Raises:
        FileNotFoundError: there is no g++.
        subprocess.CalledProcessError: g++ failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "peak.so")
        flags = ["-O3", "-shared", "-fPIC", *_FLAGS[gradcon_ext.build_info().cpu_capability]]
        subprocess.run(["g++", *flags, "-o", library, _SOURCE], check=True)
        loop = ctypes.CDLL(str(library))
        loop.multiply_adds_of.argtypes, loop.multiply_adds_of.restype = [ctypes.c_int64], ctypes.c_int64
        loop.multiply_add.argtypes, loop.multiply_add.restype = [ctypes.c_int64, ctypes.c_float], ctypes.c_float
        fastest = min(_seconds(loop) for _ in range(_REPEATS))
        return THREADS * loop.multiply_adds_of(_ROUNDS) / fastest


def _seconds(loop: ctypes.CDLL) -> float:
    # Python waits for none of them: a call by ctypes holds no lock.
    threads = [threading.Thread(target=loop.multiply_add, args=(_ROUNDS, 0.0)) for _ in range(THREADS)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin
