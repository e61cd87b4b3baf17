from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.data.masks import mask_path, read_mask
from gradcon_ext.data.reading.decoding import read_header


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Images of two defects, and their masks."""
    for defect in ("crack", "hole"):
        for folder, name in (("test", "a.b.jpg"), ("ground_truth", "a.b_mask.png")):
            (tmp_path / folder / defect).mkdir(parents=True)
            Image.new("L", (5, 3)).save(tmp_path / folder / defect / name)
    return tmp_path / "test", tmp_path / "ground_truth"


def test_masks_of_all_defects_and_of_one(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    image, expected = images / "crack" / "a.b.jpg", masks / "crack" / "a.b_mask.png"
    assert mask_path(image, images, masks) == expected
    assert mask_path(image, images / "crack", masks) == expected
    assert mask_path(image, images / "crack", masks / "crack") == expected


def test_real_masks(data_root: Path) -> None:
    root = data_root / "magnetic-tile"
    images = [path for path in sorted((root / "test").rglob("*.jpg")) if path.parent.name != "good"]
    assert len(images) == 198
    for image in images[::20]:
        mask = read_mask(mask_path(image, root / "test", root / "ground_truth"), read_header(image).size)
        assert 0 < mask.mean() < 0.9


def test_no_mask(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    (masks / "hole" / "a.b_mask.png").unlink()
    with pytest.raises(FileNotFoundError, match="a.b.jpg has no mask.*hole/a.b_mask.png"):
        mask_path(images / "hole" / "a.b.jpg", images, masks)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P"])
def test_bright_is_anomalous(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.array([[0, 255, 0], [255, 0, 0]], np.uint8))
    grey.convert(mode).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", (2, 3)).tolist() == [[False, True, False], [True, False, False]]


def test_half_is_the_bound(tmp_path: Path) -> None:
    Image.fromarray(np.array([[126, 127, 128, 129]], np.uint8)).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", (1, 4)).tolist() == [[False, False, True, True]]


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    Image.new("L", (5, 3)).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"mask.png.*\(3, 5\).*\(5, 3\)"):
        read_mask(tmp_path / "mask.png", (5, 3))
    whole = (tmp_path / "mask.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:45])
    (tmp_path / "text.png").write_text("no image")
    for name in ("cut.png", "text.png"):
        with pytest.raises(ValueError, match=f"{name}: cannot be read"):
            read_mask(tmp_path / name, (3, 5))


def test_a_mask_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((2, 3), np.uint8)
    pixels[1, 0] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png", exif=exif)
    assert read_mask(tmp_path / "mask.png", (3, 2)).tolist() == [[True, False], [False, False], [False, False]]


def row(*values: int) -> Image.Image:
    return Image.fromarray(np.array([values], np.uint8))


def with_alpha(mode: str, colour: int | tuple[int, ...]) -> Image.Image:
    image = Image.new(mode, (3, 1), colour)
    image.putalpha(row(0, 255, 0))
    return image


def of_palette(*colours: int) -> Image.Image:
    image = row(0, 1, 0)
    image.putpalette(colours)
    return image


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (with_alpha("RGB", (255, 255, 255)), {}),
        (with_alpha("RGB", (0, 0, 0)), {}),
        (with_alpha("L", 255), {}),
        (of_palette(*[255] * 6), {"transparency": 0}),
        (of_palette(*[255] * 6), {"transparency": bytes((0, 255))}),
        (of_palette(0, 0, 0, 255, 255, 255), {"transparency": 1}),
        (Image.merge("LA", [row(0, 255, 0), row(0, 255, 0)]), {}),
        (Image.merge("LA", [row(0, 255, 0), row(255, 255, 255)]), {}),
        (Image.merge("LA", [row(0, 255, 0), row(255, 0, 255)]), {}),  # colours differ, and decide
        (Image.fromarray(np.array([[0, 65535, 0]], np.uint16)), {}),
        (Image.fromarray(np.array([[0, 65535, 0]], np.uint16)), {"transparency": 0}),
        (row(0, 128, 1), {}),
    ],
)
def test_where_the_shape_is(tmp_path: Path, image: Image.Image, options: dict[str, Any]) -> None:
    image.save(tmp_path / "mask.png", **options)
    assert read_mask(tmp_path / "mask.png", (1, 3)).tolist() == [[False, True, False]]


@pytest.mark.parametrize(
    ("image", "values"),
    [
        (row(0, 1, 0), "0, 1"),
        (row(1, 1, 1), "1"),
        (row(*range(8)), "0, 1, 2, 3, 4, ..."),
        (with_alpha("RGB", (255, 255, 255)).point(lambda value: value // 2), "0, 127"),
        (Image.fromarray(np.array([[0, 1, 0]], np.uint16)), "0, 1"),
        (Image.fromarray(np.array([[0, 0.25, 0]], np.float32)), "0, 0.25"),
        (of_palette(0, 0, 0, 255, 0, 0), "0, 76"),
    ],
)
def test_marks_that_are_all_dark_are_told_with_their_values(tmp_path: Path, image: Image.Image, values: str) -> None:
    image.save(tmp_path / "mask.tif")
    with pytest.raises(ValueError, match=rf"mask.tif: .*its values are {values}: save it with 255"):
        read_mask(tmp_path / "mask.tif", (1, image.width))
