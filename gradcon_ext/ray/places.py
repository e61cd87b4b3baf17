"""Files and folders by their path, or by a URL of fsspec."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from gradcon_ext.data.reading import SUFFIXES, ImageFile, find_images
from gradcon_ext.storage.files import PARTIAL, replace_file


def is_url(path: str) -> bool:
    """Whether it is a URL of fsspec, such as s3://bucket/folder, and no path."""
    return "://" in path


def each_image(paths: Iterable[str | os.PathLike[str]]) -> Iterator[ImageFile | str]:
    """Yield the images that paths stand for as `find_images` does, and the URLs that URLs do.

    A URL that ends as an image does is one; any other is a folder, which is searched in depth.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: no images, or a damaged list.
    """
    for path in paths:
        text = os.fspath(path)
        if not is_url(text):
            yield from find_images(text, "test").files
        elif _is_image(text):
            yield text
        else:
            yield from _in_depth(text)


class Folder:
    """A folder of results, made if need be; its files appear whole.

    Args:
        place: path or URL.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        text = os.fspath(place)
        self.place = text if is_url(text) else os.path.abspath(text)
        self._files, self._root = fsspec.core.url_to_fs(self.place)
        self._files.makedirs(self._root, exist_ok=True)

    def names(self) -> set[str]:
        """Return the names of what is in the folder, but for unfinished files."""
        self._files.invalidate_cache()
        names = {PurePosixPath(path).name for path in self._files.ls(self._root, detail=False)}
        return {name for name in names if PARTIAL not in name}

    def path(self, name: str) -> str:
        """Return the path or URL of a file."""
        return f"{self.place.rstrip('/')}/{name}"

    def read(self, name: str) -> bytes:
        """Read a file."""
        content: bytes = self._files.cat_file(f"{self._root}/{name}")
        return content

    def open(self, name: str) -> Any:
        """Open a file to read bytes from; of an object store only those that are asked for are fetched."""
        return self._files.open(f"{self._root}/{name}", "rb")

    def write(self, name: str, content: bytes) -> None:
        """Write a file, which replaces one of that name; object stores do so at once."""
        if is_url(self.place):
            self._files.pipe_file(f"{self._root}/{name}", content)
        else:
            with replace_file(Path(self.place, name)) as temporary:
                temporary.write_bytes(content)

    def remove_unfinished(self) -> None:
        """Remove what was being written when its process was killed; nobody may be at work there."""
        if not is_url(self.place):
            for path in Path(self.place).glob(f".*.{PARTIAL}*"):
                path.unlink(missing_ok=True)


def _in_depth(url: str) -> Iterator[str]:
    files, root = fsspec.core.url_to_fs(url)
    found = False
    for path in files.find(root):
        if _is_image(path) and not any(part.startswith(".") for part in _below(path, root)):
            found = True
            yield files.unstrip_protocol(path)
    if not found:
        raise ValueError(f"{url}: no images there; looked for {', '.join(sorted(SUFFIXES))}")


def _is_image(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def _below(path: str, root: str) -> tuple[str, ...]:
    return PurePosixPath(path.removeprefix(root)).parts
