"""What `gradcon train` holds in memory, scaled down from 100,000 images of 256x256 in less than 2 GB."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

SIDE = 96
SMALL, LARGE = 600, 2400
MOST_GROWTH = 35_000
"""Kilobytes: less than the images take as bytes, let alone as floats. What may grow is their names, and as many codes
as a balance looks at."""

# The peak of a process of its own: what `resource` tells may be that of the process that started it.
TRAINING = """
import sys
from pathlib import Path
from gradcon_ext.cli import main
from gradcon_ext.data.reading import cache

cache._RESIDENT = 1 << 22
code = main(sys.argv[1:])
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(code, status["VmHWM"].split()[0])
"""
OPTIONS = f"--size {SIDE} --width 4 --epochs 1 --lead-in 0 --alpha 0 --score balanced --batch-size 32 --quiet"


def write(folder, count):
    folder.mkdir()
    Image.effect_noise((SIDE, SIDE), 50).convert("RGB").save(folder / "0.bmp")
    Image.effect_noise((SIDE, SIDE), 80).convert("RGB").save(folder / "1.bmp")
    for number in range(2, count):
        os.link(folder / f"{number % 2}.bmp", folder / f"{number}.bmp")
    return folder


def start(images, out):
    """In a folder without the source of gradcon_ext, which has no binaries where that is installed."""
    words = [sys.executable, "-c", TRAINING, "train", "--images", str(images), "--out", str(out), *OPTIONS.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment, cwd=images)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak of a process")
def test_memory_does_not_grow_with_the_images(tmp_path):
    runs = [start(write(tmp_path / f"{count}", count), tmp_path / f"run-{count}") for count in (SMALL, LARGE)]
    (small_code, small), (large_code, large) = (map(int, run.communicate()[0].split()) for run in runs)
    assert (small_code, large_code) == (0, 0)
    as_bytes = (LARGE - SMALL) * SIDE * SIDE * 3 // 1024
    assert large - small < MOST_GROWTH < as_bytes
