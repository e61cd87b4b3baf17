"""What one pass over images tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import torch
from torch import Tensor

from gradcon_ext.data.image_dataset import ImageDataset, batches


class Survey(NamedTuple):
    """What one pass over data sets of one shape tells.

    Attributes:
        mean: of all images, (C, H, W).
        digests: of each data set; equal where all images are, in the same order.
        all_alike: of each data set, whether all images are the same.
    """

    mean: Tensor
    digests: list[str]
    all_alike: list[bool]


def survey(datasets: Sequence[ImageDataset], batch_size: int) -> Survey:
    """Look at all images of data sets of one shape once, reading `batch_size` of them at a time."""
    total = torch.zeros(datasets[0].shape, dtype=torch.float64)
    digests, all_alike = [], []
    for dataset in datasets:
        digest = blake2b(repr((len(dataset), dataset.shape)).encode(), digest_size=16)
        first, alike = None, True
        for images in batches(dataset, batch_size):
            first = images[:1].cpu() if first is None else first
            alike = alike and bool((images.cpu() == first).all())
            total += images.sum(0, dtype=torch.float64).cpu()
            digest.update(images.cpu().contiguous().numpy().data)
        digests.append(digest.hexdigest())
        all_alike.append(alike)
    return Survey((total / sum(map(len, datasets))).float(), digests, all_alike)
