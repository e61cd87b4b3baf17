"""Reading images from their original files, and the one-class protocol."""

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
