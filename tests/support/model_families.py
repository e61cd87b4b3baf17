"""Small models of many families, for tests of what should hold for any model."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder


class Family(NamedTuple):
    """A model, the shape of one input, and a loss of single samples."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    loss: Callable[..., Tensor]


def squared_output(output: Tensor, input: Tensor) -> Tensor:
    return output.square().flatten(1).sum(1)


def reconstruction(output: Tensor, input: Tensor) -> Tensor:
    return (output - input).square().flatten(1).mean(1)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding="same")
        self.group_norm = nn.GroupNorm(2, channels)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.norm(self.first(x)), inplace=True)
        return functional.relu(x + self.group_norm(self.second(hidden)), inplace=True)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(5, 8))
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x + self.position)
        return self.head(x + self.attention(x, x, x, need_weights=False)[0])


class SharedWeights(nn.Module):
    """A layer that runs three times, a weight tied between two layers, a convolution that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.twice = nn.Linear(6, 6)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.twice.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(torch.tanh(self.conv(x)))
        return self.tied(torch.tanh(self.twice(torch.tanh(self.twice(x)))))


class FunctionalWeights(nn.Module):
    """A linear layer whose weight is used once more, behind its back."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.scale = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * functional.linear(torch.tanh(self.layer(x)), self.layer.weight.t())


class MultipleOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(6, 5)
        self.first = nn.Linear(5, 2)
        self.second = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = torch.tanh(self.trunk(x))
        return {"first": self.first(hidden), "second": self.second(hidden)}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRU(4, 5, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x)[0][:, -1])


class CustomLinear(nn.Linear):
    """A subclass that computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.square(), self.bias)


FAMILIES = {
    "mlp": Family(lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(inplace=True), nn.Linear(9, 4)), (6,), squared_output),
    "sequence mlp": Family(
        lambda: nn.Sequential(nn.Linear(6, 9), nn.GELU(), nn.Linear(9, 6)), (2, 3, 6), reconstruction
    ),
    "cae": Family(lambda: ConvAutoencoder(channels=2, size=(13, 10), width=4), (2, 13, 10), reconstruction),
    "vae": Family(
        lambda: ConvVariationalAutoencoder(channels=1, size=9, width=4),
        (1, 9, 9),
        lambda output, images: ConvVariationalAutoencoder.loss(output, images.sigmoid()).total,
    ),
    "1-d": Family(
        lambda: nn.Sequential(
            nn.Conv1d(3, 6, 4, stride=2, padding=1), nn.ELU(), nn.ConvTranspose1d(6, 3, 4, stride=2, padding=1)
        ),
        (3, 10),
        reconstruction,
    ),
    "grouped and depthwise": Family(
        lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.SiLU(), nn.Conv2d(8, 6, (1, 3), groups=2)),
        (4, 7, 8),
        squared_output,
    ),
    "dilated and circular": Family(
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3, dilation=2, padding=(2, 1)),
            nn.Tanh(),
            nn.Conv2d(3, 2, (3, 2), padding="same", padding_mode="circular"),
            nn.Conv2d(2, 2, 2, padding="valid"),
        ),
        (2, 7, 9),
        squared_output,
    ),
    "residual": Family(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), ResidualBlock(4), nn.Flatten(), nn.Linear(144, 5)),
        (3, 8, 8),
        squared_output,
    ),
    "attention": Family(Attention, (5, 8), squared_output),
    "shared weights": Family(SharedWeights, (4, 6), squared_output),
    "functional weights": Family(FunctionalWeights, (6,), squared_output),
    "multiple outputs": Family(
        MultipleOutputs, (6,), lambda output, input: output["first"].square().sum(1) + output["second"].sum(1)
    ),
    "recurrent": Family(Recurrent, (7, 4), squared_output),
    "3-d": Family(
        lambda: nn.Sequential(nn.Conv3d(1, 2, 2), nn.Tanh(), nn.Conv3d(2, 1, 2)), (1, 4, 4, 5), squared_output
    ),
    "subclass": Family(lambda: nn.Sequential(CustomLinear(6, 5), nn.Tanh(), nn.Linear(5, 4)), (6,), squared_output),
}
