"""What images there are, before anything is made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path

from gradcon_ext.data.reading.decoded import UnreadableImage
from gradcon_ext.data.reading.decoding import decode
from gradcon_ext.data.reading.files import ImageFile
from gradcon_ext.data.reading.parallel import in_order
from gradcon_ext.data.reading.preparation import Preparation
from gradcon_ext.data.reading.value_range import Values, extrema


@dataclass(frozen=True)
class Inspected:
    """What is known of one image.

    Attributes:
        file: it was read from.
        digest: of the bytes of the file; None of one that cannot be opened.
        error: why it cannot be read; None where it can, and then there are all of the following.
        size: width and height, upright.
        bounds: least and greatest value of its colours.
    """

    file: ImageFile
    digest: bytes | None
    error: UnreadableImage | None = None
    format: str = ""
    mode: str = ""
    bits: int = 0
    frames: int = 1
    turned: bool = False
    size: tuple[int, int] = (0, 0)
    bounds: tuple[float, float] = (0.0, 0.0)


@dataclass
class Inspection:
    """What is known of many images.

    Attributes:
        formats: how many there are of each format.
        modes: of each mode, as Pillow calls it.
        bits: of each bit depth.
        sizes: of each width and height.
        orientations: of "landscape", "portrait" and "square".
        turned: how many are turned upright as EXIF says.
        several: files of several frames.
        empty: files that hold nothing.
        unreadable: other files that cannot be read.
        duplicates: files whose bytes are those of another one, and that one.
        kinds: bits, least and greatest value of each image.
    """

    formats: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    bits: Counter[int] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    orientations: Counter[str] = field(default_factory=Counter)
    turned: int = 0
    several: list[Path] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)
    unreadable: list[UnreadableImage] = field(default_factory=list)
    duplicates: list[tuple[Path, Path]] = field(default_factory=list)
    kinds: list[Values] = field(default_factory=list)

    @property
    def readable(self) -> int:
        """How many can be read."""
        return len(self.kinds)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Least and greatest value of all; None where none can be read."""
        if not self.kinds:
            return None
        return min(low for _, low, _ in self.kinds), max(high for _, _, high in self.kinds)


def inspect(files: Iterable[ImageFile], preparation: Preparation, workers: int | None = None) -> Inspection:
    """Decode all images and count what they are.

    Args:
        files: of the images.
        preparation: tells the most pixels of an image.
        workers: threads.
    """
    inspection, firsts = Inspection(), dict[tuple[bytes, int], Path]()
    for one in in_order(partial(_inspected, max_pixels=preparation.max_pixels), files, workers):
        _count(inspection, one)
        if one.digest is not None and one.error is None:
            first = firsts.setdefault((one.digest, one.file.frame), one.file.path)
            if first != one.file.path:
                inspection.duplicates.append((one.file.path, first))
    return inspection


def _inspected(file: ImageFile, max_pixels: int | None) -> Inspected:
    try:
        decoded = decode(file.path, file.frame, max_pixels=max_pixels)
    except UnreadableImage as error:
        return Inspected(file, None, error)
    return Inspected(
        file,
        blake2b(file.path.read_bytes(), digest_size=16).digest(),
        format=decoded.format,
        mode=decoded.mode,
        bits=decoded.bits,
        frames=decoded.frames,
        turned=decoded.turned,
        size=decoded.size[::-1],
        bounds=extrema(decoded.pixels),
    )


def _count(inspection: Inspection, one: Inspected) -> None:
    if one.error is not None:
        if _is_empty(one.file.path):
            inspection.empty.append(one.file.path)
        else:
            inspection.unreadable.append(one.error)
        return
    width, height = one.size
    inspection.formats[one.format] += 1
    inspection.modes[one.mode] += 1
    inspection.bits[one.bits] += 1
    inspection.sizes[one.size] += 1
    inspection.orientations["square" if width == height else "landscape" if width > height else "portrait"] += 1
    inspection.turned += one.turned
    if one.frames > 1:
        inspection.several.append(one.file.path)
    inspection.kinds.append((one.bits, *one.bounds))


def _is_empty(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0
