from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def mixed(tmp_path):
    """A folder with something of everything."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(10):
        Image.fromarray(generator.integers(1, 200, (6, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    Image.fromarray(generator.integers(1, 200, (9, 7), dtype=np.uint8)).save(folder / "grey.jpg", quality=100)
    frames = [Image.new("L", (5, 5), level) for level in (10, 20)]
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(generator.integers(1, 200, (6, 8, 3), dtype=np.uint8)).save(folder / "turned.jpg", exif=exif)
    shutil.copy(folder / "3.png", folder / "again.png")
    (folder / "bad\nname.png").write_bytes(b"no image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_all_that_is_there_is_counted_or_named(gradcon, mixed):
    result = gradcon("check", mixed, "--json")
    facts = json.loads(result.out)
    assert (result.code, result.err) == (3, "")
    assert facts["images"] == 17
    assert facts["format"] == {"PNG": 11, "JPEG": 2, "TIFF": 1}
    assert facts["mode"] == {"RGB": 12, "L": 2}
    assert facts["bits"] == {"8": 14}
    assert facts["size"] == {"8x6": 11, "7x9": 1, "5x5": 1, "6x8": 1}
    assert facts["orientation"] == {"landscape": 11, "portrait": 2, "square": 1}
    assert facts["turned_by_exif"] == 1
    assert 0 <= facts["values"][0] < 10 < 190 < facts["values"][1] <= 255
    assert facts["several_frames"] == [str(mixed / "pages.tif")]
    assert list(facts["unreadable"]) == [str(mixed / "bad\nname.png"), str(mixed / "gone.png")]
    assert facts["empty"] == [str(mixed / "empty.png")]
    assert facts["duplicates"] == {str(mixed / "again.png"): str(mixed / "3.png")}
    assert facts["ignored"] == {str(mixed / "notes.txt"): "no suffix of an image"}
    assert facts["train"]["refuses"] is True


def test_the_same_in_words(gradcon, mixed):
    result = gradcon("check", mixed)
    lines = result.out.splitlines()
    assert lines[0] == f"{mixed}: 17 images in this folder"
    assert "formats         PNG: 11, JPEG: 2, TIFF: 1" in lines
    assert "orientations    landscape: 11, portrait: 2, square: 1; turned upright as EXIF says: 1" in lines
    assert f"  {str(mixed / 'bad') + chr(10) + 'name.png'!a}: cannot be read" in result.out
    assert f"  {mixed / 'again.png'}: the same as {mixed / '3.png'}" in lines
    assert f"  {mixed / 'notes.txt'}: no suffix of an image" in lines
    assert lines[-1] == "train would fail: images that cannot be read; see --on-error skip"


def test_what_it_says_of_training_is_what_training_does(gradcon, mixed, tmp_path):
    options = ("--size", "6x8", "--fit", "pad", "--channels", "1", "--on-error", "skip")
    told = json.loads(gradcon("check", mixed, *options, "--json").out)["train"]
    training = (
        "train",
        "--images",
        mixed,
        "--out",
        tmp_path / "run",
        "--epochs",
        "1",
        "--lead-in",
        "0",
        "--width",
        "2",
    )
    assert gradcon(*training, *options).code == 3
    facts = gradcon("info", tmp_path / "run").out.splitlines()
    for name in ("channels", "size", "fit", "range", "background"):
        value = ", ".join(map(str, told[name])) if isinstance(told[name], list) else told[name]
        assert f"preprocessing.{name}: {value}" in facts
    assert f"training.train_images: {told['train_images']}" in facts
    assert f"training.validation_images: {told['validation_images']}" in facts
    assert f"training.data.calibration: {told['calibration_images']}" in facts
    last = gradcon("check", mixed, *options).out.splitlines()[-4:]
    assert last == [
        "train would learn from 10 images and hold out 1 for",
        "  validation and 3 for calibration, skip 3,",
        "  in grey, 6x8 (height x width), pad,",
        "  with values from 0 to 255 as 0 to 1",
    ]


def test_twelve_bits_and_few_of_their_values(gradcon, tmp_path):
    for number in range(3):
        Image.fromarray(np.full((5, 5), 3000 + 10 * number, np.uint16)).save(tmp_path / f"{number}.png")
    result = gradcon("check", tmp_path)
    assert result.code == 0
    assert "values          3000 to 3020" in result.out
    assert "with values from 0 to 4095" in result.out
    assert "which the values use little of" in result.out
    assert "use little of" not in gradcon("check", tmp_path, "--range", "2990,3050").out


def test_the_layout_of_mvtec_ad(gradcon, tmp_path):
    for room, count in (("train/good", 4), ("test/good", 2), ("test/broken", 3), ("ground_truth/broken", 3)):
        (tmp_path / room).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (5, 5), 10 * number).save(tmp_path / room / f"{number}.png")
    result = gradcon("check", tmp_path)
    assert result.code == 0
    assert result.out.startswith(
        f"{tmp_path}: 9 images in this folder in the layout of MVTec AD: 6 inliers, 3 outliers"
    )
    assert "train would learn from 2 images and hold out 1 for\n  validation and 1 for calibration," in result.out


def test_a_folder_without_images(gradcon, tmp_path):
    result = gradcon("check", tmp_path)
    assert result.code == 1
    assert result.error.startswith(f"{tmp_path}: no images in this folder")
