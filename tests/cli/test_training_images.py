from __future__ import annotations

import numpy as np
import torch

from gradcon_ext.cli.training_images import from_folder
from gradcon_ext.data import read_image_folder


def test_the_seed_decides_what_is_held_out(tmp_path, write_photos):
    folder = write_photos(tmp_path / "photos", count=24)

    def held_out(seed):
        return from_folder(folder, None, seed, channels=3, size=8, progress=False).validation

    assert held_out(0).shape == (2, 3, 8, 8)
    assert torch.equal(held_out(0), held_out(0))
    assert not torch.equal(held_out(0), held_out(1))


def test_every_image_is_used_once_and_unchanged(tmp_path, write_photos):
    folder = write_photos(tmp_path / "photos", count=24)
    images = from_folder(folder, None, 0, channels=3, size=8, progress=False)
    used = torch.cat([images.train, images.validation])
    read = torch.stack(list(read_image_folder(folder, 3, 8)))

    def in_order(pixels):
        return np.unique(pixels.flatten(1).numpy(), axis=0)

    assert used.dtype == torch.uint8
    assert len(in_order(used)) == 24
    assert np.array_equal(in_order(used.float() / 255), in_order(read))
