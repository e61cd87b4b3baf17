"""Some images of a data set."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcon_ext.data.held_out import Indices
from gradcon_ext.data.image_dataset import ImageDataset


class SelectedImages(ImageDataset):
    """Those images of a data set that some indices (n,) name, read from it when they are asked for."""

    def __init__(self, images: ImageDataset, indices: Indices) -> None:
        self.shape = images.shape
        self._images = images
        self._indices = torch.from_numpy(indices)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._indices)

    def stored(self, index: int) -> Tensor:
        """Return one image (C, H, W) as it is kept."""
        return self._images.stored(int(self._indices[index]))

    def stored_take(self, indices: Tensor) -> Tensor:
        """Return the images (n, C, H, W) at the int64 `indices` (n,)."""
        return self._images.stored_take(self._indices[indices])
