"""The reader of image files that all commands share: what it finds, reads, shows and has to tell at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradcon_ext.cli.progress import progress
from gradcon_ext.data.reading import (
    CachedImages,
    FileImages,
    ImageFile,
    Preparation,
    Reading,
    cached_images,
    find_images,
    read_images,
    with_frames,
)
from gradcon_ext.data.reading.finding import Part
from gradcon_ext.data.reading.pixel_limit import own_pixel_limit as own_pixel_limit
from gradcon_ext.data.reading.value_range import Values, values_of

UNREADABLE = 3
"""The exit code of a command that has done its work but for images that cannot be read."""


@dataclass
class ImageReader:
    """Reads images as a preparation says, and keeps account of those that are bad or odd.

    Attributes:
        preparation: what is done to each image.
        skip: whether bad images are passed over; the first one is an error otherwise.
        workers: threads; as many as there are processors by default.
        quiet: whether to show no progress.
        unreadable: images that could not be read.
        beyond: images that leave the range of values.
        several: images of files that have several frames, where none was asked for.
        ignored: number of files that were found and are no images.
        notes: further lines to tell at the end, unless quiet.
        warnings: likewise, also if quiet.
    """

    preparation: Preparation
    skip: bool = True
    workers: int | None = None
    quiet: bool = False
    unreadable: list[Reading] = field(default_factory=list)
    beyond: list[Reading] = field(default_factory=list)
    several: list[Reading] = field(default_factory=list)
    ignored: int = 0
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def find(self, path: Path, part: Part = "all") -> list[ImageFile]:
        """Find images as `find_images` does, each frame that the preparation takes being one."""
        found = find_images(path, part)
        self.ignored += len(found.ignored)
        return with_frames(found.files, self.preparation, self.workers)

    def values(self, files: Sequence[ImageFile]) -> Iterator[Values]:
        """Look for bits, least and greatest value of each image that can be read, and show how far it is."""
        with progress(len(files), "looking at values", self.quiet) as update:
            for values in values_of(files, self.preparation.max_pixels, self.workers):
                yield values
                update(1)

    def read(self, files: Sequence[ImageFile], what: str) -> Iterator[Reading]:
        """Read images in their order, and show how far it is.

        Raises:
            UnreadableImage: the first bad image, unless bad ones are skipped. A ValueError.
        """
        for reading in self._read(files, what):
            self.take(reading)
            yield reading

    def _read(self, files: Sequence[ImageFile], what: str) -> Iterator[Reading]:
        with progress(len(files), what, self.quiet) as update:
            for reading in read_images(files, self.preparation, self.workers):
                if reading.error is not None and not self.skip:
                    raise reading.error
                yield reading
                update(1)

    def images(self, files: Sequence[ImageFile], folder: Path | None, what: str) -> CachedImages | FileImages:
        """Read images into a cache in a folder, or take them from there; `what` is being done, and errors are as above.

        Without a folder, or left at their own sizes, they are in no cache, but read again whenever they are asked for.

        Raises:
            ValueError: none of them can be read.
        """
        if folder is None or self.preparation.size is None:
            return self._readable(files, what)
        images, told = cached_images(files, self.preparation, folder, lambda some: self._read(some, what))
        for reading in told:
            self.take(reading)
            if reading.error is not None and not self.skip:
                raise reading.error
        return images

    def _readable(self, files: Sequence[ImageFile], what: str) -> FileImages:
        readable = [reading.file for reading in self.read(files, what) if reading.error is None]
        if not readable:
            raise ValueError(f"none of {len(files)} images can be read: {self.unreadable[-1].error}")
        return FileImages(readable, self.preparation)

    def take(self, reading: Reading) -> None:
        """Keep account of an image."""
        if reading.error is not None:
            self.unreadable.append(_without_pixels(reading))
        if reading.beyond is not None:
            self.beyond.append(_without_pixels(reading))
        if reading.frames > 1 and not reading.file.names_frame:
            self.several.append(_without_pixels(reading))

    def report(self) -> None:
        """Tell on standard error what is to be known of the images that were read; if quiet, only what is wrong."""
        for line in self._warnings():
            print(line, file=sys.stderr)
        if not self.quiet:
            for line in self._notes():
                print(line, file=sys.stderr)

    @property
    def exit_code(self) -> int:
        """0, or `UNREADABLE`."""
        return UNREADABLE if self.unreadable else 0

    def _warnings(self) -> Iterator[str]:
        yield from self.warnings
        if self.unreadable:
            yield f"Warning: images that cannot be read: {len(self.unreadable)}, such as {self.unreadable[0].error}"
        if self.beyond:
            first, (low, high) = self.beyond[0], self.preparation.range or (0, 1)
            least, greatest = first.beyond or (0, 0)
            yield (
                f"Warning: images with values beyond the range {low:g} to {high:g}, which are clipped: "
                f"{len(self.beyond)}, such as {first.file.path} with {least:g} to {greatest:g}"
            )

    def _notes(self) -> Iterator[str]:
        yield from self.notes
        if self.ignored:
            yield f"Note: other files among the images, which are ignored: {self.ignored}; `gradcon check` names them"
        if self.several:
            which = f"number {self.preparation.frame}" if self.preparation.frame else "the first"
            yield (
                f"Note: files of several frames, of which {which} is read: {len(self.several)}, such as "
                f"{self.several[0].file.path}; --frames all takes every one"
            )


def _without_pixels(reading: Reading) -> Reading:
    return Reading(reading.file, None, reading.error, reading.beyond, reading.frames)
