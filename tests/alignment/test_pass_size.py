"""A pass takes as many samples as its activations leave room for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradcon_ext import average_alignment, per_sample_alignment
from gradcon_ext.alignment.pass_size import MAX_ACTIVATION_BYTES
from support.memory import peak

BOUND = MAX_ACTIVATION_BYTES["cpu"]


def passes_of(model: nn.Module, inputs: Tensor) -> int:
    """How many passes an alignment takes."""
    name, weight = next(iter(model.named_parameters()))
    alignment = per_sample_alignment(
        model, lambda output, _: output.flatten(1).square().sum(1), inputs, {name: torch.randn_like(weight)}
    )
    assert len(alignment.loss) == len(inputs)
    return len(alignment.aux)


@pytest.mark.parametrize("size", [16, 64, 128])
def test_a_pass_computes_what_the_bound_allows(size: int) -> None:
    outputs = 2 * 16 * size**2 * 4  # those of the layer, and their squares
    allowed = min(BOUND // (outputs + 4), 256)
    model, images = nn.Conv2d(1, 16, 1, bias=False), torch.rand(allowed + 1, 1, size, size)
    assert passes_of(model, images[:allowed]) == 1
    assert passes_of(model, images) == 2


def test_a_sample_above_the_bound_has_a_pass_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MAX_ACTIVATION_BYTES, "cpu", 1 << 10)
    assert passes_of(nn.Conv2d(1, 4, 1), torch.rand(3, 1, 16, 16)) == 3


def test_weights_do_not_count() -> None:
    assert passes_of(nn.Linear(2048, 2048), torch.rand(256, 2048)) == 1


class Pairs(nn.Module):
    """Takes no sample alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 1:
            raise RuntimeError("no batch of one")
        return self.layer(x)


def test_what_cannot_compute_a_single_sample_takes_the_most_samples() -> None:
    assert passes_of(Pairs(), torch.rand(256, 4)) == 1
    assert passes_of(Pairs(), torch.rand(258, 4)) == 2


def test_memory_beyond_the_images_is_bounded() -> None:
    model = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 1, 3, padding=1))
    references = {"2.weight": torch.randn_like(model[2].weight)}
    images = torch.rand(256, 1, 128, 128)  # 64 KiB each, and 6 MiB computed of each

    def loss(output: Tensor, images: Tensor) -> Tensor:
        return (output - images).square().flatten(1).sum(1)

    def align() -> None:
        per_sample_alignment(model, loss, images, references)

    assert peak(align) < 3 * BOUND
    assert peak(lambda: average_alignment(model, loss, images, list(references))) < 3 * BOUND
