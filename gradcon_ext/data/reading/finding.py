"""From a path to the images that it stands for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from gradcon_ext.data.reading.files import Found, Ignored, ImageFile
from gradcon_ext.data.reading.lists import LIST_SUFFIXES, read_list

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)

Part: TypeAlias = Literal["train", "test", "all"]

_HIDDEN = "hidden"
_NORMAL = "good"
"""What MVTec AD calls the folders of images without a defect."""


def find_images(path: str | os.PathLike[str], part: Part = "all") -> Found:
    """Find the images that a path stands for.

    - A folder is searched in depth. Images are told by their suffix, one of `SUFFIXES`, whatever its case; names that
      begin with a dot are ignored. Linked folders are followed, each folder once, and a folder itself before links to
      it. The order is that of the paths.
    - In a folder in the layout of MVTec AD, the images to train on are those of `train/good`, and those to test are
      those of `test`, of which all but `test/good` are outliers. Masks in `ground_truth` are ignored.
    - A file that ends in .csv or .jsonl lists images; see `read_list`. Outliers are not there to train on.
    - Any other file is an image.

    A link to nothing that has the name of an image is one too, and so is a folder in another that cannot be entered;
    neither can be read, and no image is lost in silence.

    Args:
        path: of a folder, a list or an image.
        part: what of a folder or a list that tells training and test images apart.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: the folder cannot be entered.
        ValueError: a damaged list, or no images.
    """
    if not os.fspath(path):  # which would be the current folder
        raise FileNotFoundError("an empty path is no folder of images, list or image; the current folder is .")
    place = Path(path)
    if place.is_dir():
        found = _in_mvtec(place, part) if _is_mvtec(place) else _in_depth(place)
    elif not os.path.lexists(place):
        raise FileNotFoundError(f"{path}: no such folder of images, list or image")
    elif place.suffix.lower() in LIST_SUFFIXES:
        found = _listed(place, part)
    else:
        found = Found([ImageFile(place)], [], "one file")
    if not found.files:
        raise ValueError(f"{path}: no images in {found.layout}; looked for {', '.join(sorted(SUFFIXES))}")
    return found


def _in_depth(folder: Path) -> Found:
    files, ignored = [], []
    for path, reason in _walk(folder):
        if reason is None:
            files.append(ImageFile(path))
        else:
            ignored.append(Ignored(path, reason))
    files.sort(key=lambda file: file.path)
    ignored.sort(key=lambda entry: entry.path)
    return Found(files, ignored, "this folder")


def _is_mvtec(folder: Path) -> bool:
    # Unlike those of `Path`, they are false of what is in a folder that cannot be entered.
    return os.path.isdir(folder / "train" / _NORMAL) and os.path.isdir(folder / "test")


def _in_mvtec(folder: Path, part: Part) -> Found:
    everything = _in_depth(folder)
    files, ignored = [], list(everything.ignored)
    for file in everything.files:
        rooms = _rooms(file.path, folder)
        if rooms[:2] == ["train", _NORMAL] and part != "test":
            files.append(ImageFile(file.path, is_outlier=False))
        elif rooms[:1] == ["test"] and len(rooms) > 1 and part != "train":
            files.append(ImageFile(file.path, is_outlier=rooms[1] != _NORMAL))
        else:
            ignored.append(Ignored(file.path, "a mask" if rooms[:1] == ["ground_truth"] else "of another part"))
    ignored.sort(key=lambda entry: entry.path)
    return Found(files, ignored, "this folder in the layout of MVTec AD")


def _rooms(path: Path, folder: Path) -> list[str]:
    """The folders that a path is in, from one of them on; one that cannot be entered is in itself."""
    parts = path.relative_to(folder).parts
    is_room = len(parts) == 2 and os.path.isdir(path)  # deeper ones change nothing
    return list(parts if is_room else parts[:-1])


def _listed(path: Path, part: Part) -> Found:
    files = read_list(path)
    if part != "train":
        return Found(files, [], "this list")
    outliers = [Ignored(file.path, "an outlier, not to train") for file in files if file.is_outlier]
    return Found([file for file in files if not file.is_outlier], outliers, "this list")


def _walk(top: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield each file below a folder, with the reason why it is none of the images, or None."""
    seen: set[str] = set()
    waiting: list[Path] = [top]
    links: list[Path] = []
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        real = os.path.realpath(folder)
        if real in seen:
            yield folder, "a link to a folder that is searched already"
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            if folder == top:
                raise
            yield folder, None
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith("."):
                yield path, _HIDDEN
            elif _is_folder(entry):
                (links if entry.is_symlink() else waiting).append(path)
            else:
                yield path, _why_not(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that loops
        return False


def _why_not(entry: os.DirEntry[str]) -> str | None:
    if os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
        return "no suffix of an image"
    if os.path.exists(entry.path) and not os.path.isfile(entry.path):
        return "not a regular file"
    return None
