"""Images of a data set with wrong labels among them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.examples.small_classifier import CLASSES
from gradcon_ext import data


@dataclass(frozen=True)
class Images:
    """Images (N, 1, H, W) from 0 to 1 and their labels (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: Tensor | slice) -> Images:
        return Images(self.images[which], self.labels[which])


def load(name: str, root: Path) -> tuple[Images, Images]:
    """Training and test images."""
    read = data.load(name, root)
    train, test = (
        Images(torch.as_tensor(some.images).float() / 255, torch.as_tensor(some.labels).long())
        for some in (read.train, read.test)
    )
    return train, test


def flipped(labels: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Labels of which a share is replaced by another, each as likely, and whether each is."""
    is_flipped = torch.zeros(len(labels), dtype=torch.bool)
    is_flipped[torch.randperm(len(labels), generator=generator)[: round(share * len(labels))]] = True
    other = (labels + torch.randint(1, CLASSES, labels.shape, generator=generator)) % CLASSES
    return torch.where(is_flipped, other, labels), is_flipped
