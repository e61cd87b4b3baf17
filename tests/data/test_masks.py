from __future__ import annotations

from pathlib import Path

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
