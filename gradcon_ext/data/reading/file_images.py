"""Image files as a data set, for what asks for images by their index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from gradcon_ext.data.arrays import Array
from gradcon_ext.data.image_dataset import ImageDataset, Shape, stacked
from gradcon_ext.data.reading.files import ImageFile
from gradcon_ext.data.reading.parallel import in_order
from gradcon_ext.data.reading.preparation import Preparation
from gradcon_ext.data.reading.streams import Reading, read_image


class FileImages(ImageDataset):
    """Image files, opened when they are asked for.

    Attributes:
        files: in the order of the images.
        preparation: what is done to each image.
    """

    def __init__(self, files: Sequence[ImageFile], preparation: Preparation) -> None:
        self.files = list(files)
        self.preparation = preparation

    @property
    def shape(self) -> Shape:  # type: ignore[override]  # of images of any size there is none
        """(C, H, W) of every image.

        Raises:
            ValueError: each is left at its own size.
        """
        if self.preparation.size is None:
            raise ValueError("images that are left at their own sizes have no common one")
        return (self.preparation.channels, *self.preparation.size)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    @property
    def paths(self) -> list[Path]:
        """The files' paths, in the order of the images."""
        return [file.path for file in self.files]

    def selected(self, indices: Array) -> FileImages:
        """Return those of the images that the indices (n,) name, as a data set of its own."""
        return FileImages([self.files[index] for index in indices], self.preparation)

    def stored(self, index: int) -> Tensor:
        """Read one image, uint8 (C, H, W) of 8 bits, or float32 of more.

        Raises:
            UnreadableImage: it cannot be read as an image, or has more pixels than `max_pixels`. A ValueError.
        """
        reading = self._reading(index)
        if reading.pixels is None:
            raise reading.error or AssertionError("an image has pixels or an error")
        return reading.pixels

    def stored_take(self, indices: Tensor) -> Tensor:
        """Read the images (n, C, H, W) at the int64 `indices` (n,), several at a time; raises what `stored` does."""
        return stacked(list(in_order(self.stored, indices.tolist())))

    def each_stored(self) -> Iterator[Tensor]:
        """Yield the images, of which a few are read ahead; raises what `stored` does."""
        return in_order(self.stored, range(len(self)), ahead=self.preparation.ahead)

    def _reading(self, index: int) -> Reading:
        return read_image(self.files[index], self.preparation)
