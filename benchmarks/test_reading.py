"""Does a folder of photographs keep both cores busy, and what does the score cost of it?"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.scorers import FUSED, fused_scorer
from gradcon_ext.cli.image_reader import ImageReader
from gradcon_ext.cli.images_to_score import FilesToScore
from gradcon_ext.data.reading import Preparation

IMAGES = int(os.environ.get("GRADCON_BENCHMARK_IMAGES", "2000"))
ROUNDS = 3


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """A folder of JPEGs of one megapixel; of twenty, by several names, so that they fit the disk's cache."""
    folder = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    for number in range(IMAGES):
        path = folder / f"{number:05}.jpg"
        if number < 20:
            coarse = Image.fromarray(generator.integers(0, 256, (100, 100, 3), dtype=np.uint8))
            coarse.resize((1000, 1000), Image.Resampling.BICUBIC).save(path, quality=85)
        else:
            path.hardlink_to(folder / f"{number % 20:05}.jpg")
    return folder


def read(folder: Path, workers: int) -> FilesToScore:
    reader = ImageReader(Preparation(3, (28, 28), range=(0.0, 255.0)), workers=workers, quiet=True)
    return FilesToScore(reader.find(folder), reader)


def test_two_workers(compare, setup, photographs) -> None:
    scorer = fused_scorer(setup)

    def score_all(workers: int) -> None:
        for batch in read(photographs, workers).batches(512):
            scorer.score(batch.images)

    ratio = compare(
        lambda: score_all(2),
        lambda: score_all(1),
        question="a folder of JPEGs of one megapixel, read and scored",
        name="two workers",
        baseline_name="one worker",
        samples=IMAGES,
        rounds=ROUNDS,
    )
    assert ratio <= 1 / 1.7


def test_the_share_of_the_score(compare, setup, photographs) -> None:
    scorer = fused_scorer(setup)
    prepared = torch.cat([batch.images for batch in read(photographs, 2).batches(512)])

    def read_and_score() -> None:
        for batch in read(photographs, 2).batches(512):
            scorer.score(batch.images)

    ratio = compare(
        lambda: scorer.score(prepared, 512),
        read_and_score,
        question="the score alone, of images that were read",
        name=FUSED,
        baseline_name="reading and scoring",
        samples=IMAGES,
        rounds=ROUNDS,
    )
    assert ratio <= 0.1
