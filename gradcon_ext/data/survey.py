"""What passes over images tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import torch
from torch import Tensor

from gradcon_ext.data.image_dataset import ImageDataset, batches
from gradcon_ext.data.pixels import as_floats


class Survey(NamedTuple):
    """What one pass over data sets of one shape tells.

    Attributes:
        mean: of all images, (C, H, W).
        digests: of each data set; equal where all images are, in the same order.
    """

    mean: Tensor
    digests: list[str]


def survey(datasets: Sequence[ImageDataset], batch_size: int) -> Survey:
    """Look at all images of data sets of one shape once, reading `batch_size` of them at a time."""
    total = torch.zeros(datasets[0].shape, dtype=torch.float64)
    digests = []
    for dataset in datasets:
        digest = blake2b(repr((len(dataset), dataset.shape)).encode(), digest_size=16)
        for images in batches(dataset, batch_size):
            total += images.sum(0, dtype=torch.float64).cpu()
            digest.update(images.cpu().contiguous().numpy().data)
        digests.append(digest.hexdigest())
    return Survey((total / sum(map(len, datasets))).float(), digests)


def refuse_blank(images: ImageDataset, what: str = "images") -> None:
    """Raise ValueError for training images that are all alike, unless it is a single one that is not black.

    They may be of any sizes, and are read until one differs. The message calls them what they are.
    """
    every = map(as_floats, images.each_stored())
    first = next(every)
    is_black = not first.any()
    if len(images) == 1 and not is_black:
        return
    if all(not image.any() if is_black else torch.equal(image, first) for image in every):
        colour = ", and black" if is_black else ""
        raise ValueError(f"all {len(images)} training {what} are alike{colour}: there is nothing to learn from them")
