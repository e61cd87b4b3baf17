"""Pixels of 8 bits reach the kernels as they are in the files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from gradcon_ext.data import read_image_folder
from gradcon_ext.data.image_dataset import batches, stored_batches
from gradcon_ext.ops import score_autoencoder
from gradcon_ext.scoring.scorer import Scorer


@pytest.fixture
def scored(monkeypatch):
    """The dtypes of the batches that are scored."""
    dtypes = []

    def watched(images, *arguments):
        dtypes.append(images.dtype)
        return score_autoencoder(images, *arguments)

    monkeypatch.setattr("gradcon_ext.scoring.computation.score_autoencoder", watched)
    return dtypes


@pytest.mark.parametrize("size", [(8, 8), (12, 10)])
def test_they_are_scored_as_bytes(gradcon, digits_run, write_photos, tmp_path, scored, size):
    inliers, outliers = (write_photos(tmp_path / name, 3, seed, size) for seed, name in enumerate(("in", "out")))
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (4, *size), dtype=np.uint8))
    assert gradcon("score", digits_run, inliers).code == 0
    assert gradcon("score", digits_run, tmp_path / "images.npy").code == 0
    assert gradcon("evaluate", digits_run, "--inliers", inliers, "--outliers", outliers).code == 0
    assert len(scored) >= 3
    assert set(scored) == {torch.uint8}


def test_their_scores_are_those_of_floats(digits_run, write_photos, tmp_path):
    folder = read_image_folder(write_photos(tmp_path / "photos"), 1, 8)
    scorer = Scorer.load(digits_run)
    (stored,), (floats,) = stored_batches(folder, 20), batches(folder, 20)
    assert stored.dtype == torch.uint8
    assert torch.equal(stored.float() / 255, floats)
    for given, expected in zip(scorer.score(stored), scorer.score(floats), strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-6)


def test_an_image_of_its_own_size_keeps_its_bytes(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    stored = read_image_folder(tmp_path, 3, (4, 5)).stored(0)
    assert np.array_equal(stored.numpy(), pixels.transpose(2, 0, 1))
