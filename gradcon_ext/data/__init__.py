"""Reading images from their original files, and the one-class protocol.

Names are imported when they are first used: to decode and prepare a file takes no torch (`gradcon_ext.data.reading`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcon_ext._install.lazy_names import lazy_names

if TYPE_CHECKING:
    from gradcon_ext.data.cifar10 import read_cifar10
    from gradcon_ext.data.cure_tsr import CURE_TSR_CHALLENGES, CURE_TSR_SIGNS, read_cure_tsr
    from gradcon_ext.data.digits import read_digits
    from gradcon_ext.data.idx import read_idx
    from gradcon_ext.data.image_folder import ImageFolder, read_image_folder
    from gradcon_ext.data.labelled import DataSet, LabelledImages
    from gradcon_ext.data.mnist import read_mnist
    from gradcon_ext.data.named import DATA_SETS, load
    from gradcon_ext.data.one_class import OneClassSplit, class_index, one_class_split
    from gradcon_ext.data.resizing import resize

__all__ = [
    "CURE_TSR_CHALLENGES",
    "CURE_TSR_SIGNS",
    "DATA_SETS",
    "DataSet",
    "ImageFolder",
    "LabelledImages",
    "OneClassSplit",
    "class_index",
    "load",
    "one_class_split",
    "read_cifar10",
    "read_cure_tsr",
    "read_digits",
    "read_idx",
    "read_image_folder",
    "read_mnist",
    "resize",
]

_HOMES = {
    "CURE_TSR_CHALLENGES": "cure_tsr",
    "CURE_TSR_SIGNS": "cure_tsr",
    "DATA_SETS": "named",
    "DataSet": "labelled",
    "ImageFolder": "image_folder",
    "LabelledImages": "labelled",
    "OneClassSplit": "one_class",
    "class_index": "one_class",
    "load": "named",
    "one_class_split": "one_class",
    "read_cifar10": "cifar10",
    "read_cure_tsr": "cure_tsr",
    "read_digits": "digits",
    "read_idx": "idx",
    "read_image_folder": "image_folder",
    "read_mnist": "mnist",
    "resize": "resizing",
}

if not TYPE_CHECKING:  # A type checker would take any name for one of this module's.
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
