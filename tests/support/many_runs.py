"""Small runs of `train_many`. Worker processes import this module, to which the models of their runs belong."""

from __future__ import annotations

import os
import signal

import torch
from torch import nn

from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.training.many import Run
from support.training_runs import TRAIN, VAL, new_model, new_trainer

ARGUMENTS = {"batch_size": 8, "epochs": 3}
IMAGES = (TRAIN, VAL)


def new_run(name, model=None, images=IMAGES, out=None, **arguments):
    return Run(name, model or new_model(), images, out, {**ARGUMENTS, **arguments})


def fit(run, **arguments):
    """What `Trainer.fit` makes of a run that is not given a folder."""
    model = new_model(type(run.model))
    model.load_state_dict(run.model.state_dict())
    return new_trainer(model, **run.trainer, **arguments).fit(*(run.images() if callable(run.images) else run.images))


def load_images():
    return TRAIN[:24], VAL


class DiesOnce:
    """Loads images, but kills its process the first time.

    Args:
        folder: that it marks then.
    """

    def __init__(self, folder):
        self.mark = folder / "died"

    def __call__(self):
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return load_images()


class Dying(ConvAutoencoder):
    """Kills its process."""

    def forward(self, images):
        os.kill(os.getpid(), signal.SIGKILL)


class Stubborn(ConvAutoencoder):
    """Raises what cannot be sent to another process."""

    def forward(self, images):
        class Refused(Exception):  # noqa: N818
            pass

        raise Refused("I would rather not")


def blank_model():
    """A model that nothing can be learned by."""
    model = new_model()
    nn.init.constant_(model.encoder[0].weight, torch.nan)
    return model
