"""Residual classifiers of ResNet-18's shape (He et al., 2016)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(hidden)) + self.shortcut(x))


def resnet18(classes: int = 10) -> nn.Sequential:
    """Build the classifier of 32x32 images, with a 3x3 stem and no pooling; 11.2 million parameters."""
    return _classifier([nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], classes)


def resnet18_of_large_images(classes: int = 10) -> nn.Sequential:
    """Build the classifier of 224x224 images, with a 7x7 stem and pooling; 11.2 million parameters."""
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return _classifier(stem, classes)


def _classifier(layers: list[nn.Module], classes: int) -> nn.Sequential:
    channels = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        for position in range(2):
            layers.append(Block(channels, width, stride=2 if stage > 0 and position == 0 else 1))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))
