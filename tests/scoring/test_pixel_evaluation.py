from __future__ import annotations

import re
from collections.abc import Callable
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


def damage(mask: Path) -> None:
    mask.write_bytes(mask.read_bytes()[:45])


def resize(mask: Path) -> None:
    Image.new("L", (5, 5), 255).save(mask)


def darken(mask: Path) -> None:
    Image.new("L", (16, 32), 1).save(mask)


@pytest.mark.parametrize(
    ("spoil", "why"), [(damage, "cannot be read"), (resize, r"\(5, 5\).*\(32, 16\)"), (darken, "values are 1:")]
)
def test_a_mask_that_cannot_be_used_costs_no_other(
    scorer: Scorer, files: list[Path], spoil: Callable[[Path], None], why: str
) -> None:
    masks = [files[0].parent / "mask" / f"mask of {number}.png" for number in (1, 2)]
    spoil(masks[0])
    evaluation = evaluate_pixels(scorer, ImageFolder(files[:3], 1, 16), [None, *masks])
    assert (evaluation.images, evaluation.without_a_mark, evaluation.incomparable) == (2, 0, None)
    assert evaluation.auroc == evaluate_pixels(scorer, ImageFolder(files[:3:2], 1, 16), [None, masks[1]]).auroc
    assert len(evaluation.left_out) == 1 and re.match(f"{masks[0]}: .*{why}", evaluation.left_out[0])
    assert "1 left out, whose masks cannot be used" in evaluation.table()
    assert (evaluation.as_json()["left_out"], evaluation.as_json()["problems"]) == (1, evaluation.left_out)


def test_nothing_to_compare(scorer: Scorer, files: list[Path]) -> None:
    mask = files[0].parent / "mask" / "mask of 3.png"
    images = ImageFolder([files[0], files[3]], 1, 16)
    evaluation = evaluate_pixels(scorer, images, [None, mask])
    assert (evaluation.auroc, evaluation.images, evaluation.without_a_mark) == ({}, 1, 1)
    assert str(evaluation.incomparable).startswith("no pixel is anomalous")
    assert evaluate_pixels(scorer, images, [mask, mask]).incomparable == "all images are left out"


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
