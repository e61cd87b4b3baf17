"""What was proven of a model does not outlive a change of settings that its code reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gradcon_ext import per_sample_alignment
from support.hidden_settings import READ_FROM_TENSORS, UNSEEN, WATCHED, Mixing

ALL = {**WATCHED, **UNSEEN, **{f"{name} of a tensor": setting for name, setting in READ_FROM_TENSORS.items()}}


def squared(output: Tensor, inputs: Tensor) -> Tensor:
    return (output - inputs).square().sum(1)


def align(model: Mixing) -> None:
    generator = torch.Generator().manual_seed(2)
    inputs = torch.rand(5, 6, generator=generator, dtype=torch.float32)
    reference = torch.randn(6, 6, generator=generator, dtype=torch.float32)
    per_sample_alignment(model, squared, inputs, {"layer.weight": reference})


class Flagged(Mixing):
    """Mixes samples where Python finds its buffer to be true."""

    def __init__(self, read: Callable[[Tensor], float]) -> None:
        super().__init__(read)
        self.register_buffer("flag", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        output = self.layer(x)
        return output - output.mean(0) if self.read(self.flag) else output


@pytest.mark.parametrize("name", [name for name in ALL if name != "itertools"])
def test_a_change_that_mixes_samples_is_refused(name: str) -> None:
    setting = ALL[name]
    model = Mixing(setting.read)
    align(model)
    align(model)
    try:
        setting.change()
        with pytest.raises(ValueError, match="samples influence each other"):
            align(model)
    finally:
        setting.reset()


@pytest.mark.parametrize(
    "read",
    [lambda flag: flag.tolist()[0], lambda flag: flag.numpy()[0], lambda flag: flag.item(), lambda f: len(f[f > 0])],
    ids=["tolist", "numpy", "item", "size of a selection"],
)
def test_a_buffer_that_python_reads_is_read_at_each_call(read: Callable[[Tensor], float]) -> None:
    model = Flagged(read)
    align(model)
    model.flag.fill_(1)
    with pytest.raises(ValueError, match="samples influence each other"):
        align(model)


def test_a_loss_that_cannot_be_compared_is_proven_at_each_call() -> None:
    scope = {"mixed": False}
    exec(
        "def loss(output, inputs):\n"
        "    output = output - output.mean(0) if globals()['mi' + 'xed'] else output\n"
        "    return (output - inputs).square().sum(1)\n",
        scope,
    )
    model = Mixing(lambda: False)
    inputs, references = torch.rand(5, 6), {"layer.weight": torch.randn(6, 6)}
    per_sample_alignment(model, scope["loss"], inputs, references)
    scope["mixed"] = True
    with pytest.raises(ValueError, match="samples influence each other"):
        per_sample_alignment(model, scope["loss"], inputs, references)
