from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcon_ext.chain.tracing import trace_chain
from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.ops import objective_gradient, score_autoencoder
from support.chain_arguments import arguments_of
from support.memory import growth, peak
from support.threads import torch_threads


def test_calls_leave_nothing_behind() -> None:
    """A text argument of an op would leave some 50 bytes a call."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1))
    chain = trace_chain(model, ["0.weight"], squared_error, (1, 1, 1))
    arguments = arguments_of(chain, model, [torch.ones(1, 1, 1, 1)], torch.rand(1, 1, 1, 1))

    def call() -> None:
        score_autoencoder(*arguments)
        objective_gradient(*arguments, None, 0.1)

    assert growth(call, 8_000) < 250_000


@pytest.mark.parametrize(("size", "samples", "mebibytes"), [(256, 16, 64), (1024, 2, 256)])
def test_large_images_take_bounded_memory(size: int, samples: int, mebibytes: int) -> None:
    model = ConvAutoencoder(3, size)
    names = [name for name, weight in model.decoder.named_parameters(prefix="decoder") if weight.dim() == 4]
    chain = trace_chain(model, names, squared_error, (3, size, size))
    references = [torch.randn_like(model.get_parameter(name)) for name in names]
    arguments = arguments_of(chain, model, references, torch.rand(samples, 3, size, size))
    with torch_threads(2):
        assert peak(lambda: score_autoencoder(*arguments)) < mebibytes << 20
