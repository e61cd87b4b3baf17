from __future__ import annotations

import numpy as np
import torch

from gradcon_ext.cli.image_reader import ImageReader
from gradcon_ext.cli.training_images import from_folder
from gradcon_ext.data import read_image_folder
from gradcon_ext.data.reading import Preparation


def read(folder, seed=0):
    reader = ImageReader(Preparation(3, (8, 8)), quiet=True)
    images = from_folder(folder, None, seed, reader, cache=folder.parent)
    return tuple(part.stored_span(0, len(part)) for part in (images.train, images.validation))


def test_the_seed_decides_what_is_held_out(tmp_path, write_photos):
    folder = write_photos(tmp_path / "photos", count=24)
    (_, held_out), (_, again), (_, other) = read(folder), read(folder), read(folder, seed=1)
    assert held_out.shape == (2, 3, 8, 8)
    assert torch.equal(held_out, again)
    assert not torch.equal(held_out, other)


def test_every_image_is_used_once_and_unchanged(tmp_path, write_photos):
    folder = write_photos(tmp_path / "photos", count=24)
    used = torch.cat(read(folder))
    expected = torch.stack(list(read_image_folder(folder, 3, 8)))

    def in_order(pixels):
        return np.unique(pixels.flatten(1).numpy(), axis=0)

    assert used.dtype == torch.uint8
    assert len(in_order(used)) == 24
    assert np.array_equal(in_order(used.float() / 255), in_order(expected))


def test_the_range_is_that_of_the_training_images(tmp_path, write_photos):
    reader = ImageReader(Preparation(3, (8, 8)), quiet=True)
    images = from_folder(write_photos(tmp_path / "photos"), None, 0, reader, cache=tmp_path)
    assert images.preprocessing == {"channels": 3, "size": [8, 8], "range": [0, 255]}
