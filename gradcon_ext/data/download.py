"""Downloading the files of data sets to where `load` looks for them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gradcon_ext.data.named import load
from gradcon_ext.storage.files import replace_file

_LARGEST_FILE = 1 << 28  # bytes; the largest that is published has 170 million
_TIMEOUT = 30  # seconds; without it, some versions of pooch wait for ever


@dataclass(frozen=True)
class Source:
    """Where the files of a data set come from and go to.

    Attributes:
        folder: below the data root, one that `load` looks into.
        checksums: the published MD5 checksum of each file, in hexadecimal digits.
        mirrors: addresses that a file's name completes, in the order in which they are tried.
    """

    folder: str
    checksums: Mapping[str, str]
    mirrors: Sequence[str]


# The checksums, which decide whichever mirror answers, stand on the pages of Fashion-MNIST and CIFAR-10, whose own
# addresses come first, and for MNIST, whose page is gone, in torchvision.
SOURCES: Mapping[str, Source] = {
    "mnist": Source(
        folder="mnist",
        checksums={
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://raw.githubusercontent.com/fgnt/mnist/master/",
        ),
    ),
    "fashion-mnist": Source(
        folder="fashion-mnist",
        checksums={
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
    ),
    "cifar10": Source(
        folder="cifar-10",
        checksums={"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
        mirrors=(
            "https://cave.cs.toronto.edu/kriz/",
            "https://www.cs.toronto.edu/~kriz/",
            "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
        ),
    ),
}


def download(name: str, root: str | os.PathLike[str], progress: bool = True) -> list[Path]:
    """Download the files that `load(name, root)` lacks.

    What is there is never replaced. A data set that can be read already, be it unpacked or compressed otherwise
    than published, is left as it is and needs no network. A file appears whole, with its published checksum, or
    not at all; so after an interruption, the next call fetches the rest.

    Args:
        name: one of `SOURCES`.
        root: the data root, a folder; made if need be.
        progress: whether to show a progress bar for each file.

    Returns:
        The files that were fetched; none if the data set was there already.

    Raises:
        ConnectionError: no mirror gave one of the files; says why, and what can be done by hand.
        ValueError: nothing to download under this name, or a file that was there before is damaged.
        OSError: the files cannot be written.
    """
    if name not in SOURCES:
        raise ValueError(f"there is no download of {name!r}; expected one of {', '.join(SOURCES)}")
    source = SOURCES[name]
    folder = Path(root, source.folder)
    if _can_be_read(name, folder if _may_be_of_another(source, root) else root):
        return []
    folder.mkdir(parents=True, exist_ok=True)
    missing = [folder / file for file in source.checksums if not (folder / file).exists()]
    for path in missing:
        _fetch(path, source, progress)
    _read(name, root)  # A file that was there before may be damaged.
    return missing


def _may_be_of_another(source: Source, root: str | os.PathLike[str]) -> bool:
    """Whether the root itself holds files by names that two data sets have, as MNIST and fashion-MNIST do."""
    shared = [
        file
        for file in source.checksums
        if any(file in other.checksums for other in SOURCES.values() if other is not source)
    ]
    return any(list(Path(root).glob(f"{file.removesuffix('.gz')}*")) for file in shared)


def _can_be_read(name: str, root: str | os.PathLike[str]) -> bool:
    try:
        _read(name, root)
    except FileNotFoundError:
        return False
    return True


def _read(name: str, root: str | os.PathLike[str]) -> None:
    try:
        load(name, root)
    except ValueError as error:
        raise ValueError(f"{error}. A download replaces nothing: move what is damaged away, and try again") from error


def _fetch(path: Path, source: Source, progress: bool) -> None:
    """Fetch a file from the first mirror that has the published one."""
    from requests import RequestException  # slow to import, and needed here alone

    problems = []
    for mirror in source.mirrors:
        try:
            _fetch_from(mirror, path, source.checksums[path.name], progress)
        except (RequestException, ValueError) as error:
            problems.append(f"{mirror} ({error})")
        else:
            return
    raise ConnectionError(
        f"cannot download {path.name} from {' or '.join(problems)}. "
        f"By hand: put {', '.join(source.checksums)} into {path.parent}; "
        "or give another folder that has them below it as --data-root or GRADCON_DATA"
    )


def _fetch_from(mirror: str, path: Path, checksum: str, progress: bool) -> None:
    import pooch  # slow to import, and needed here alone

    fetch = pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 16, timeout=_TIMEOUT)
    with replace_file(path) as temporary:
        with temporary.open("wb") as file:
            fetch(mirror + path.name, _BoundedWriter(file), None)
        found = pooch.file_hash(temporary, alg="md5")
        if found != checksum:
            raise ValueError(f"the MD5 checksum is {found}; expected {checksum}")


class _BoundedWriter:
    """A file that a mirror cannot fill the disk with."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, content: bytes) -> int:
        if self._file.tell() + len(content) > _LARGEST_FILE:
            raise ValueError(f"it sends more than {_LARGEST_FILE} bytes")
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()
