from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gradcon_ext import Scorer
from gradcon_ext.data import ImageFolder
from gradcon_ext.data.reading.decoded import turn_upright
from gradcon_ext.scoring.pixel_evaluation import evaluate_pixels
from support.libraries import library


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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_compared_at_the_size_of_the_upright_image(scorer: Scorer, tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    mask = np.zeros((24, 16), np.uint8)
    mask[:12, :8] = 255
    pixels = np.where(mask > 0, 255, 127).astype(np.uint8)[None]
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    Image.fromarray(turn_upright(pixels, inverse)[0]).save(tmp_path / "a.tif", exif=exif)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    evaluation = evaluate_pixels(scorer, ImageFolder([tmp_path / "a.tif"], 1, 16), [tmp_path / "mask.png"])
    assert evaluation.auroc["residual"] > 0.95


def test_inliers_that_pillow_does_not_know_have_a_size_too(scorer: Scorer, files: list[Path]) -> None:
    inlier = files[0].parent / "inlier.tif"
    library("tifffile").imwrite(inlier, np.full((20, 16), 0.5, np.float64))
    images = ImageFolder([inlier, files[1]], 1, 16)
    evaluation = evaluate_pixels(scorer, images, [None, files[0].parent / "mask" / "mask of 1.png"])
    assert evaluation.images == 2


def test_a_frame_has_its_own_size(scorer: Scorer, tmp_path: Path) -> None:
    frames = [Image.new("L", (5, 5)), Image.fromarray(np.full((24, 16), 127, np.uint8))]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    mask = np.zeros((24, 16), np.uint8)
    mask[:12, :8] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    images = ImageFolder([tmp_path / "a.tif"], 1, 16, frame=1)
    assert evaluate_pixels(scorer, images, [tmp_path / "mask.png"]).images == 1
