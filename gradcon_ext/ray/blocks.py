"""Images as blocks, each of which is scored and written as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa

from gradcon_ext.data.reading import ImageFile

SCHEMA = pa.schema([("block", pa.int64()), ("path", pa.string()), ("frame", pa.int64())])


class Blocks:
    """Blocks of images, one after the other, of which none but the present one is in memory.

    Attributes:
        images: how many have been in the blocks so far.
        name_frames: whether any of them names its frame.
        size: images in a block; fewer in the last one.

    Args:
        images: files, or URLs.
        size: see above.
    """

    def __init__(self, images: Iterable[ImageFile | str], size: int) -> None:
        self.images = 0
        self.name_frames = False
        self._given = iter(images)
        self.size = size
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield tables of `SCHEMA`; raises ValueError for the name of a file that is not UTF-8."""
        number = 0
        while some := list(islice(self._given, self.size)):
            rows = [(image, None) if isinstance(image, str) else _path_and_frame(image) for image in some]
            for path, frame in rows:
                self._hash.update(_utf8(f"{path}\0{0 if frame is None else f'frame {frame}'}\0"))
            paths, frames = zip(*rows, strict=True)
            self.images += len(rows)
            self.name_frames |= any(frame is not None for frame in frames)
            yield pa.table({"block": [number] * len(rows), "path": paths, "frame": frames}, SCHEMA)
            number += 1

    @property
    def digest(self) -> str:
        """A hash of all images so far and their order."""
        return self._hash.hexdigest()


def in_object_store(blocks: Blocks) -> list[Any]:
    """Put blocks into the object store, which spills to disk, as they are made; return references to them."""
    import ray

    return [ray.put(block) for block in blocks]


def _path_and_frame(image: ImageFile) -> tuple[str, int | None]:
    """Of an image that names no frame it is left to the preparation which are read."""
    return str(image.path), image.frame if image.names_frame else None


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the name of {text[:-3]!r} is not UTF-8, as text in Parquet has to be; rename it") from error
