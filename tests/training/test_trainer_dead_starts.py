from __future__ import annotations

import logging
import re

import pytest
import torch
from torch import nn

from support.training_runs import (
    TRAIN,
    VAL,
    dead_model,
    history_of,
    new_model,
    new_trainer,
)


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_a_dead_start_is_noticed_and_started_over(epochs, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        detector = new_trainer(dead_model(), epochs=epochs, out=tmp_path).fit(TRAIN, VAL)
    assert re.search("seed 0.*seed 1", caplog.text)
    judged = min(epochs, 3)
    history = history_of(tmp_path)
    assert [entry["epoch"] for entry in history] == [*range(1, judged + 1), judged, *range(1, epochs + 1)]
    event = history[judged]
    assert (event["event"], event["attempt"], event["seed"], event["next_seed"]) == ("restart", 1, 0, 1)
    assert "gradient" in event["reason"]
    assert [entry["attempt"] for entry in history if "event" not in entry] == [1] * judged + [2] * epochs
    assert detector.training["attempt"] == 2
    assert detector.training["attempt_seed"] == 1
    assert detector.model(VAL).std(0).max() > 0


def test_a_dead_encoder_is_noticed_although_the_decoder_learns_the_mean_image(caplog):
    model = new_model()
    nn.init.constant_(model.encoder[6].bias, -1e6)
    new_trainer(model, epochs=3).fit(TRAIN, VAL)
    assert "encoder.0.weight" in caplog.text


class AlwaysDead(nn.ConvTranspose2d):
    def reset_parameters(self):
        super().reset_parameters()
        nn.init.constant_(self.bias, -1e6)


def test_a_model_that_is_always_dead_is_given_up(tmp_path):
    model = new_model()
    model.decoder[2].__class__ = AlwaysDead
    model.decoder[2].reset_parameters()
    with pytest.raises(RuntimeError, match="seed 4.* 5 attempts"):
        new_trainer(model, epochs=4, out=tmp_path).fit(TRAIN, VAL)
    history = history_of(tmp_path)
    assert [entry["next_seed"] for entry in history if "event" in entry] == [1, 2, 3, 4]
    epochs = [entry["attempt"] for entry in history if "event" not in entry]
    assert epochs == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3 + [5] * 4  # the last attempt is given all its epochs


def test_a_blank_start_is_noticed(caplog):
    model = new_model()
    nn.init.constant_(model.decoder[6].bias, -12.0)  # black, though gradients flow
    new_trainer(model, lr=0.02, epochs=3, alpha=0.0).fit(TRAIN, VAL)
    assert "black image" in caplog.text


@pytest.mark.parametrize(("batch_size", "validation_images", "lr"), [(1, 40, 1e-3), (8, 1, 3e-3)])
def test_a_validation_batch_of_one_image_is_not_judged_by_itself(batch_size, validation_images, lr, caplog):
    generator = torch.Generator().manual_seed(0)
    images = (torch.rand(240, 1, 8, 8, generator=generator) < 0.1).float()
    new_trainer(batch_size=batch_size, epochs=3, lr=lr).fit(images[:200], images[200 : 200 + validation_images])
    assert caplog.text == ""


def test_images_that_are_hard_to_reconstruct_are_not_a_dead_start(tmp_path, caplog):
    generator = torch.Generator().manual_seed(0)
    train, val = torch.rand(200, 1, 8, 8, generator=generator), torch.rand(40, 1, 8, 8, generator=generator)
    new_trainer(epochs=6, lr=5e-3, out=tmp_path).fit(train, val)
    history = history_of(tmp_path)
    assert history[-1]["validation_reconstruction"] > 0.95 * history[-1]["validation_mean_image"]
    assert caplog.text == ""
    assert len(history) == 6
