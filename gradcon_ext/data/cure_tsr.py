"""CURE-TSR: traffic signs as BMP files, free of challenges or under one of 12 challenges at one of 5 levels."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from gradcon_ext.data.image_size import Size
from gradcon_ext.data.labelled import ImageArray, LabelledImages
from gradcon_ext.data.reading.decoded import check_pixel_count
from gradcon_ext.data.resizing import resize
from gradcon_ext.data.tar_stream import files_in_tar

CURE_TSR_SIGNS = (
    "speed_limit",
    "goods_vehicles",
    "no_overtaking",
    "no_stopping",
    "no_parking",
    "stop",
    "bicycle",
    "hump",
    "no_left",
    "no_right",
    "priority_to",
    "no_entry",
    "yield",
    "parking",
)
CURE_TSR_CHALLENGES = (
    "Decolorization",
    "LensBlur",
    "CodecError",
    "Darkening",
    "DirtyLens",
    "Exposure",
    "GaussianBlur",
    "Noise",
    "Rain",
    "Shadow",
    "Snow",
    "Haze",
)

_LARGEST_FILE = 1 << 24
_LARGEST_IMAGE = 1 << 22
"""Pixels; the signs of the data set have some 60,000 at most."""

_LEVELS = (1, 2, 3, 4, 5)
_SPLIT_FOLDERS = {"train": "Real_Train", "test": "Real_Test"}


def read_cure_tsr(
    path: str | os.PathLike[str],
    split: str,
    challenge: str | None = None,
    level: int | None = None,
    size: Size = 28,
) -> LabelledImages:
    """Read the real images of one split of CURE-TSR under one condition, in the order of their file names.

    The images are those of one folder, such as `Real_Test/ChallengeFree` or `Real_Test/Snow-5`. They vary in size, and
    each is resized as `resize` does it. A label is the sign type less one: an index into `CURE_TSR_SIGNS`.

    Source: Temel, Kwon, Prabhushankar and AlRegib (2017), CURE-TSR: Challenging Unreal and Real Environments for
    Traffic Sign Recognition.

    Args:
        path: the folder that holds `Real_Train` and `Real_Test`, or a tar file of it, plain or gzip-compressed, which
            is read as a stream and never extracted to disk.
        split: "train" or "test".
        challenge: one of `CURE_TSR_CHALLENGES`; none for the images free of challenges.
        level: of the challenge, from 1 to 5, the most severe.
        size: height and width of the images returned, one number for a square.

    Returns:
        Images uint8 (N, 3, H, W), red, green and blue, and their labels.

    Raises:
        FileNotFoundError: no such file or folder, or no images under this condition in it.
        ValueError: an unknown split, challenge or level, one of challenge and level without the other, a bad `size`, or
            a file that is damaged or whose name does not fit its folder.
    """
    path = Path(path)
    folder = f"{_split_folder(split)}/{_condition_folder(challenge, level)}"
    expected = _expected_name(challenge, level)
    images, labels = {}, {}
    for name, content in _contents(path, folder):
        what = f"{path}: {folder}/{name}"
        labels[name] = _label(name, expected, what)
        images[name] = resize(_decode(content, what)[None], size)
    if not images:
        raise FileNotFoundError(f"no BMP files in {folder} of {path}")
    names = sorted(images)
    return LabelledImages(
        np.concatenate([images[name] for name in names]), np.array([labels[name] for name in names], np.int64)
    )


def _split_folder(split: str) -> str:
    if split not in _SPLIT_FOLDERS:
        raise ValueError(f"there is no split {split!r}; expected train or test")
    return _SPLIT_FOLDERS[split]


def _condition_folder(challenge: str | None, level: int | None) -> str:
    if challenge is None and level is None:
        return "ChallengeFree"
    if challenge is None or level is None:
        raise ValueError(f"challenge {challenge!r} with level {level!r}; expected both or neither")
    if challenge not in CURE_TSR_CHALLENGES:
        raise ValueError(f"there is no challenge {challenge!r}; expected one of {', '.join(CURE_TSR_CHALLENGES)}")
    if level not in _LEVELS:
        raise ValueError(f"level must be from 1 to 5, got {level!r}")
    return f"{challenge}-{level}"


def _expected_name(challenge: str | None, level: int | None) -> str:
    """The file name sequenceType_signType_challengeType_challengeLevel_Index.bmp, with ?? for the sign type."""
    challenge_type = 0 if challenge is None else 1 + CURE_TSR_CHALLENGES.index(challenge)
    return f"01_??_{challenge_type:02}_{level or 0:02}_????.bmp"


def _contents(path: Path, folder: str) -> Iterator[tuple[str, bytes]]:
    """The name and the content of each BMP file of a folder, in no particular order."""
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    if path.is_dir():
        for file in (path / folder).glob("*"):
            if _is_bmp(file.name):
                size = file.stat().st_size
                if size > _LARGEST_FILE:
                    raise ValueError(f"{file} has {size} bytes; expected {_LARGEST_FILE} at most")
                yield file.name, file.read_bytes()
        return
    parts = tuple(folder.split("/"))
    # The archive may hold the data set in a folder of its own.
    for member, content in files_in_tar(
        path, lambda name: name.parts[-3:-1] == parts and _is_bmp(name.name), _LARGEST_FILE
    ):
        yield member.name, content


def _is_bmp(name: str) -> bool:
    return name.lower().endswith(".bmp") and not name.startswith(".")


def _label(name: str, expected: str, what: str) -> int:
    pattern = expected.replace("?", "[0-9]").replace(".", r"\.")
    fits = re.fullmatch(pattern, name, re.IGNORECASE)
    sign_type = int(name[3:5]) if fits else 0
    if not 1 <= sign_type <= len(CURE_TSR_SIGNS):
        raise ValueError(f"{what}: expected a name like {expected} with a sign type from 01 to {len(CURE_TSR_SIGNS)}")
    return sign_type - 1


def _decode(content: bytes, what: str) -> ImageArray:
    """Decode a BMP file to (3, H, W)."""
    try:
        with Image.open(io.BytesIO(content), formats=("BMP",)) as image:
            check_pixel_count(image.width, image.height, _LARGEST_IMAGE)
            pixels = np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged data
        raise ValueError(f"{what}: cannot be read as a BMP image ({error})") from error
    return pixels.transpose(2, 0, 1)
