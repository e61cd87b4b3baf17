"""Data sets by name, found under their usual file names."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gradcon_ext.data.cifar10 import read_cifar10
from gradcon_ext.data.digits import read_digits
from gradcon_ext.data.labelled import DataSet
from gradcon_ext.data.mnist import FASHION_MNIST_CLASSES, read_mnist

DATA_SETS = ("mnist", "fashion-mnist", "cifar10", "digits")

_MNIST_PLACES = ("mnist", "MNIST/raw", "MNIST", "")
_FASHION_MNIST_PLACES = ("fashion-mnist", "FashionMNIST/raw", "FashionMNIST", "")
_CIFAR10_PLACES = tuple(
    folder + name
    for folder in ("cifar-10/", "")
    for name in ("cifar-10-batches-bin", "", "cifar-10-binary.tar.gz", "cifar-10-binary.tar")
)


def load(name: str, root: str | os.PathLike[str] | None = None) -> DataSet:
    """Load one of `DATA_SETS`, from files below the folder `root` or, for "digits", from scikit-learn.

    Files are looked for in a folder of their own (`mnist/`, `fashion-mnist/`, `cifar-10/`, or `MNIST/raw/` as
    torchvision has it), then in `root` itself. In names, case, hyphens and underscores do not matter.

    Raises:
        FileNotFoundError: no such folder, or the files are not there; says where they were looked for, and how to
            download them.
        ValueError: an unknown name, no root given, or a damaged file.
    """
    match name.lower().replace("-", "").replace("_", ""):
        case "mnist":
            return _read_first("mnist", root, _MNIST_PLACES, read_mnist)
        case "fashionmnist":
            read = partial(read_mnist, class_names=FASHION_MNIST_CLASSES)
            return _read_first("fashion-mnist", root, _FASHION_MNIST_PLACES, read)
        case "cifar10":
            return _read_first("cifar10", root, _CIFAR10_PLACES, read_cifar10)
        case "digits":
            return read_digits()
    raise ValueError(f"there is no data set {name!r}; expected one of {', '.join(DATA_SETS)}")


def _read_first(
    name: str,
    root: str | os.PathLike[str] | None,
    places: tuple[str, ...],
    read: Callable[[Path], DataSet],
) -> DataSet:
    """Read from the first of `places` below `root` that has what `read` needs."""
    if root is None:
        raise ValueError(
            f"{name} is read from files: give the folder they are in as the data root "
            "(on the command line, --data-root or the environment variable GRADCON_DATA)"
        )
    hint = f"`gradcon download {name} --data-root {shlex.quote(str(root))}` fetches it"
    if not Path(root).is_dir():
        raise FileNotFoundError(f"the data root {root} is not a folder; {hint}")
    problems = []
    for place in places:
        try:
            return read(Path(root, place))
        except FileNotFoundError as error:
            problems.append(str(error))
    raise FileNotFoundError(f"cannot find {name} below {root}: {'; '.join(problems)}; {hint}")
