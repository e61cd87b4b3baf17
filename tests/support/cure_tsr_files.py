"""A small CURE-TSR of random images, in the layout of the real one."""

from __future__ import annotations

import tarfile

import numpy as np
from PIL import Image

from gradcon_ext.data import CURE_TSR_CHALLENGES


def write_cure_tsr(folder, train=6, test=4, challenges=()):
    """Write images free of challenges and, for the test, the same ones under challenges at all levels, ever darker."""
    write_images(folder / "Real_Train" / "ChallengeFree", "00_00", train, seed=0)
    write_images(folder / "Real_Test" / "ChallengeFree", "00_00", test, seed=1)
    for challenge in challenges:
        number = 1 + CURE_TSR_CHALLENGES.index(challenge)
        for level in range(1, 6):
            place = folder / "Real_Test" / f"{challenge}-{level}"
            write_images(place, f"{number:02}_{level:02}", test, seed=1, brightness=1 - 0.19 * level)
    return folder


def write_stand_in(root, **counts):
    """Write a folder of data sets with the archive that stands in for CURE-TSR."""
    folder = write_cure_tsr(root / "signs", **counts)
    archive = root / "gtsrb-as-cure-tsr" / "gtsrb-as-cure-tsr.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, "gtsrb-as-cure-tsr")
    return root


def write_images(folder, condition, count, seed, brightness=1.0):
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        pixels = generator.integers(0, 256, (28, 28, 3)) * brightness
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"01_{1 + number % 14:02}_{condition}_{number:04}.bmp")
