"""Images that are kept as bytes reach the fused steps as bytes, and give the bits that floats of them give."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.training import objective, verification
from support.training_runs import TRAIN, VAL, assert_same_detector, new_model, new_trainer

BYTES, HELD_OUT = ((images * 255).round().to(torch.uint8) for images in (TRAIN, VAL))


class NotAChain(ConvAutoencoder):
    def forward(self, images):
        return super().forward(images) + 0 * torch.fft.rfft(images.flatten(1)).real.mean()


def fitted(train, val, model_type=ConvAutoencoder, dtype=torch.float32):
    trainer = new_trainer(new_model(model_type).to(dtype), epochs=2)
    return trainer, trainer.fit(train, val)


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder, NotAChain])
@pytest.mark.parametrize("given", [lambda images: images, torch.Tensor.numpy, TensorDataset], ids=lambda f: f.__name__)
def test_training_on_bytes_is_training_on_their_floats(model_type, given):
    floats = fitted(BYTES.float() / 255, HELD_OUT.float() / 255, model_type)
    trainer, detector = fitted(given(BYTES), given(HELD_OUT), model_type)
    assert_same_detector(detector, floats[1])
    assert trainer.engine.name == floats[0].engine.name == ("any model" if model_type is NotAChain else "fused chain")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("convert", [lambda images: images, TensorDataset], ids=["array", "dataset"])
def test_fused_steps_are_given_bytes(convert, dtype):
    given = []
    steps = [module.fused_step for module in (objective, verification)]

    def watched(chain, model, constraint, images):
        given.append(images.dtype)
        return steps[0](chain, model, constraint, images)

    with patch.object(objective, "fused_step", watched), patch.object(verification, "fused_step", watched):
        trainer, detector = fitted(convert(BYTES), convert(HELD_OUT), dtype=dtype)
    assert trainer.engine.name == "fused chain"
    assert set(given) == {torch.uint8}
    assert all(weight.dtype == dtype for weight in detector.model.parameters())


def test_the_model_itself_is_never_given_bytes():
    seen = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, images):
            seen.append(images.dtype)
            return self.decoder(images)

    new_trainer(Watching(), epochs=1).fit(BYTES, TensorDataset(HELD_OUT))
    assert set(seen) <= {torch.float32, torch.float64}  # float64 where a disagreement is decided
