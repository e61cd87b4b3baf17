from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcon_ext.cli.image_reader import ImageReader
from gradcon_ext.cli.training_images import from_data_set, from_folder
from gradcon_ext.data import one_class_split, read_digits, read_image_folder
from gradcon_ext.data.reading import Preparation


def read(folder, seed=0, calibrate=False, **others):
    reader = ImageReader(Preparation(3, (8, 8)), quiet=True)
    return from_folder(folder, others, seed, reader, folder.parent, calibrate)


def pixels(images):
    return images.stored_span(0, len(images))


def test_the_seed_decides_what_is_held_out(tmp_path, write_photos):
    folder = write_photos(tmp_path / "photos", count=24)
    held_out, again, other = (pixels(read(folder, seed).validation) for seed in (0, 0, 1))
    assert held_out.shape == (2, 3, 8, 8)
    assert torch.equal(held_out, again)
    assert not torch.equal(held_out, other)


def test_every_image_is_used_once_and_unchanged(tmp_path, write_photos):
    folder = write_photos(tmp_path / "photos", count=24)
    images = read(folder, calibrate=True)
    used = torch.cat([pixels(part) for part in (images.train, images.validation, images.calibration)])
    expected = torch.stack(list(read_image_folder(folder, 3, 8)))

    def in_order(pixels):
        return np.unique(pixels.flatten(1).numpy(), axis=0)

    assert used.dtype == torch.uint8
    assert len(in_order(used)) == 24
    assert np.array_equal(in_order(used.float() / 255), in_order(expected))


def test_the_range_is_that_of_the_training_images(tmp_path, write_photos):
    images = read(write_photos(tmp_path / "photos"))
    assert images.preprocessing == {"channels": 3, "size": [8, 8], "range": [0, 255]}


def test_calibration_takes_nothing_from_validation(tmp_path, write_photos):
    folder = write_photos(tmp_path / "photos", count=24)
    plain, calibrated = (read(folder, calibrate=calibrate) for calibrate in (False, True))
    assert torch.equal(pixels(plain.validation), pixels(calibrated.validation))
    assert plain.calibration is None and len(calibrated.calibration) == 5
    assert plain.facts == {"images": str(folder), "validation": None, "seed": 0}
    assert calibrated.facts == {**plain.facts, "calibration": 5}


def test_other_folders_leave_all_images_to_learn_from(tmp_path, write_photos):
    folders = [write_photos(tmp_path / name, count, seed=count) for name, count in (("a", 9), ("b", 4), ("c", 3))]
    images = read(folders[0], validation=folders[1], calibration=folders[2], calibrate=True)
    assert [len(part) for part in (images.train, images.validation, images.calibration)] == [9, 4, 3]
    assert images.facts["calibration"] == str(folders[2])


@pytest.mark.parametrize(
    ("validation", "calibration", "warned"),
    [
        ("b", "c", []),
        ("a", "c", ["9 of 9 images of --validation are among those of training"]),
        ("b", "link", ["9 of 9 images of --calibration are among those of training"]),
        ("b", "b", ["4 of 4 images of --calibration are among those of validation"]),
        (None, "a/../some.csv", ["1 of 2 images of --calibration are among those of training"]),
    ],
)
def test_images_that_are_used_twice_are_warned_of(tmp_path, write_photos, capsys, validation, calibration, warned):
    for name, count in (("a", 9), ("b", 4), ("c", 3)):
        write_photos(tmp_path / name, count, seed=count)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "some.csv").write_text("path\na/00.png\nc/00.png\n")
    others = {"validation": validation and tmp_path / validation, "calibration": tmp_path / calibration}
    reader = ImageReader(Preparation(3, (8, 8)), quiet=True)
    from_folder(tmp_path / "a", others, 0, reader, None, True)
    reader.report()
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in told] == warned


def test_two_images_are_too_few_for_calibration(tmp_path, write_photos):
    images = read(write_photos(tmp_path / "photos", 2), calibrate=True)
    assert images.calibration is None and "calibration" not in images.facts


def test_a_data_set_keeps_its_validation_images():
    split = one_class_split(read_digits(), "2", seed=0)
    images = from_data_set("digits", "2", 0, 8, None, calibrate=True)
    assert np.array_equal(images.validation, split.validation)
    assert len(images.train) + len(images.calibration) == len(split.train)
    assert images.facts["calibration"] == len(images.calibration) > 0
    together = np.concatenate([images.train, images.calibration]).reshape(len(split.train), -1)
    assert np.array_equal(np.unique(together, axis=0), np.unique(split.train.reshape(len(split.train), -1), axis=0))
    assert np.array_equal(from_data_set("digits", "2", 0, 8, None, calibrate=False).train, split.train)
