"""Images of five data sets, and what a network that knows ImageNet sees in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.magnetic_tile import efficientnet_lite0
from gradcon_ext.data import load, read_cure_tsr, read_image_folder, resize
from gradcon_ext.data.pixels import as_floats
from gradcon_ext.features.feature_maps import IMAGENET_MEAN, IMAGENET_STD
from gradcon_ext.reproduce.splits import cure_tsr_path

SIZE = 96
TRAINED_ON = 2000
SCORED = 1000

Images = np.ndarray


def images_of(root: Path, seed: int) -> tuple[Images, Images, Images, Images, dict[str, Images]]:
    """Training images of CIFAR-10 and their labels, test images and theirs, and outliers by their data set."""
    draw = np.random.default_rng(seed).permutation
    cifar = load("cifar10", root)
    train = draw(len(cifar.train.images))[:TRAINED_ON]
    test = draw(len(cifar.test.images))[:SCORED]
    signs, stand_in = cure_tsr_path(root)
    tiles = read_image_folder(root / "magnetic-tile" / "test", 3, SIZE)
    outliers = {
        "MNIST": load("mnist", root).test.images,
        "fashion-MNIST": load("fashion-mnist", root).test.images,
        "signs (GTSRB)" if stand_in else "signs (CURE-TSR)": read_cure_tsr(signs, "test", size=SIZE).images,
        "magnetic tiles": np.stack([tiles.stored(index).numpy() for index in range(len(tiles))]),
    }
    drawn = {name: images[draw(len(images))[:SCORED]] for name, images in outliers.items()}
    return cifar.train.images[train], cifar.train.labels[train], cifar.test.images[test], cifar.test.labels[test], drawn


def pretrained_encoder() -> nn.Module:
    """EfficientNet-Lite0 with the weights of ImageNet, (N, 3, H, W) to features (N, 1280)."""
    network = efficientnet_lite0().eval().requires_grad_(False)
    network._fc = nn.Identity()
    return network


def network_input(images: Images) -> Tensor:
    """Images (N, 1 or 3, H, W), uint8, as the network takes them: of one size, in colour, standardised."""
    pixels = as_floats(torch.as_tensor(resize(images, SIZE))).expand(-1, 3, -1, -1)
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels - mean) / std


@torch.no_grad()
def features_of(encoder: nn.Module, images: Images, batch: int = 50) -> Tensor:
    return torch.cat([encoder(network_input(images[first : first + batch])) for first in range(0, len(images), batch)])
