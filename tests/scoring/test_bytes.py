"""Images that are kept as bytes reach the fused program as bytes, and have the scores of their floats."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.scoring import computation as module
from gradcon_ext.scoring.scorer import Scorer

BYTES = torch.randint(0, 256, (21, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class WithLabels(Dataset):
    def __len__(self):
        return len(BYTES)

    def __getitem__(self, index):
        return BYTES[index].numpy(), index % 10


@pytest.fixture
def scorer():
    torch.manual_seed(0)
    model = ConvAutoencoder(1, 8, 4)
    return Scorer(model, {"decoder.0.weight": torch.randn_like(model.decoder[0].weight)})


@pytest.fixture
def given(monkeypatch):
    """The dtypes of the images that the fused program is given."""
    dtypes = []
    score = module.score_autoencoder

    def watched(images, *arguments):
        dtypes.append(images.dtype)
        return score(images, *arguments)

    monkeypatch.setattr(module, "score_autoencoder", watched)
    return dtypes


KINDS = {
    "tensor": BYTES,
    "numpy": BYTES.numpy(),
    "list": list(BYTES),
    "tensor dataset": TensorDataset(BYTES, torch.arange(len(BYTES))),
    "subset": Subset(TensorDataset(BYTES), range(len(BYTES))),
    "with labels": WithLabels(),
    "read only": np.broadcast_to(BYTES.numpy(), BYTES.shape),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_set(scorer, given, kind):
    expected = scorer.score(BYTES.float() / 255, batch_size=8)
    given.clear()
    scores = scorer.score(KINDS[kind], batch_size=8)
    assert scorer.engine.name == "fused chain" and set(given) == {torch.uint8}
    assert all(map(torch.equal, scores[:4], expected[:4]))


def test_batches(scorer, given):
    expected = list(scorer.score_batches((BYTES.float() / 255).split(8)))
    given.clear()
    for scores, floats in zip(scorer.score_batches(BYTES.split(8)), expected, strict=True):
        assert all(map(torch.equal, scores[:4], floats[:4]))
    assert set(given) == {torch.uint8}


def test_a_data_set_of_bytes_and_floats(scorer):
    mixed = [image.float() / 255 if index % 5 == 1 else image for index, image in enumerate(BYTES)]
    for batch_size in (1, 8, 100):
        scores, expected = (scorer.score(images, batch_size) for images in (mixed, BYTES.float() / 255))
        assert all(map(torch.equal, scores[:4], expected[:4]))
