from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gradcon_ext import Scorer
from gradcon_ext.data import ImageFolder
from gradcon_ext.scoring.pixel_evaluation import evaluate_pixels


class Grey(nn.Module):
    """Reconstructs every image as grey, so that its residual is brightest where an image is not."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 1)
        nn.init.constant_(self.layer.weight, 1e-3)
        nn.init.constant_(self.layer.bias, 0.5)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images)


@pytest.fixture
def scorer() -> Scorer:
    return Scorer(Grey(), {"layer.weight": torch.ones(1, 1, 1, 1)})


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """An inlier, two outliers with masks, and one whose mask marks nothing; of two sizes."""
    paths = []
    (tmp_path / "mask").mkdir()
    for number, (height, width) in enumerate([(16, 16), (32, 16), (16, 16), (16, 16)]):
        pixels, mask = np.full((height, width), 127, np.uint8), np.zeros((height, width), np.uint8)
        if number in (1, 2):
            mask[: height // 2, :8] = 255
            pixels[mask > 0] = 255
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "mask" / f"mask of {number}.png")
        paths.append(tmp_path / f"{number}.png")
    return paths


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_map_that_finds_all(scorer: Scorer, files: list[Path], batch_size: int) -> None:
    images = ImageFolder(files, 1, 16)
    masks = [None, *(files[0].parent / "mask" / f"mask of {number}.png" for number in (1, 2, 3))]
    evaluation = evaluate_pixels(scorer, images, masks, batch_size)
    assert evaluation.auroc.keys() == evaluation.pro.keys() == {"residual", "alignment", "alignment.layer.weight"}
    assert evaluation.auroc["residual"] == evaluation.pro["residual"] == pytest.approx(1, abs=0.01)
    assert (evaluation.images, evaluation.without_a_mark) == (3, 1)
    assert "3 images" in evaluation.table() and "1 left out" in evaluation.table()
    assert evaluation.as_json()["auroc"]["residual"] == round(evaluation.auroc["residual"], 6)


def test_a_mask_of_another_size(scorer: Scorer, files: list[Path]) -> None:
    images = ImageFolder(files[1:2], 1, 16)
    with pytest.raises(ValueError, match=r"mask of 2.*\(16, 16\).*\(32, 16\)"):
        evaluate_pixels(scorer, images, [files[0].parent / "mask" / "mask of 2.png"])
