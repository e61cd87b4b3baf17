"""Dead starts: training that leads nowhere from its first epochs on.

With PyTorch's default initialisation and Adam, some seeds lose their ReLUs within an epoch, and others drive every
output into one end of the sigmoid, where hardly any gradient is left. Both happen with and without the constraint. On
images that are mostly black, such as the ones of MNIST, nearly every seed does the latter: from reconstructions of 0.5,
all weights are first moved towards darkness. So a model that has a `start_at` begins its next attempt with
reconstructions that are as bright as the images.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from gradcon_ext.training.epoch import TrainingMetrics, ValidationMetrics
from gradcon_ext.training.seeding import seeded

PATIENCE = 3
"""Epochs that an attempt is given before it is judged."""

ATTEMPTS = 5
"""How often to start before giving up. The last attempt is given all its epochs."""

# A model that ignores its input reaches the loss of the mean image at best; the slack is for its way there.
_SHARE_OF_MEAN_IMAGE = 0.98

# How near to the loss of a blank image, by its distance to the mean image's, a loss is that of a blank image. On
# MNIST, blank starts are at 0.05 after three epochs and live ones above 0.9.
_SHARE_OF_BLANK_IMAGE = 0.2

# Adam moves a weight by about the learning rate a step at most. Weights that cannot have moved by this much, a few
# times their initial size, have not been given a chance.
_REACH = 0.2


def symptom(
    training: TrainingMetrics, validation: ValidationMetrics, best_reconstruction: float, reach: float
) -> str | None:
    """Say in which way an attempt is dead; None if it is alive.

    It is dead if no gradient at all reached some parameter in a whole epoch, and the reconstructions are no better
    than the mean image. It is blank if, after enough steps, its best reconstruction loss is that of a black or white
    image, though the mean image would be better. Images that are hard to reconstruct show neither: there the loss
    stays near that of the mean image while gradients flow.

    Args:
        training: of the last epoch.
        validation: of the last epoch.
        best_reconstruction: the validation reconstruction loss of the best epoch of the attempt.
        reach: steps times learning rate.
    """
    if training.silent and validation.reconstruction >= _SHARE_OF_MEAN_IMAGE * validation.mean_image:
        return (
            f"the reconstruction loss is {validation.reconstruction:.4g}, that of the mean image "
            f"{validation.mean_image:.4g}, and no gradient reaches {len(training.silent)} of the parameters, "
            f"{training.silent[0]} the first"
        )
    if reach >= _REACH:
        for colour, blank in (("black", validation.black_image), ("white", validation.white_image)):
            if abs(blank - best_reconstruction) < _SHARE_OF_BLANK_IMAGE * (blank - validation.mean_image):
                return (
                    f"the best reconstruction loss is {best_reconstruction:.4g}, that of a {colour} image "
                    f"{blank:.4g}, that of the mean image {validation.mean_image:.4g}"
                )
    return None


def redraw(
    model: nn.Module, device: torch.device, seed: int, mean_image: Tensor, spared: Collection[nn.Module] = ()
) -> None:
    """Draw the parameters of a model anew, by `reset_parameters()` of its modules.

    A module whose own parameters do not require gradients, such as one of a pretrained encoder, stays as it is.

    Args:
        model: as bright as the images from now on, if it has a `start_at`, such as those of `gradcon_ext.models`.
        device: of the model.
        seed: decides what is drawn.
        mean_image: of the images, (C, H, W).
        spared: modules that stay as they are.

    Raises:
        RuntimeError: a module has parameters of its own, but no `reset_parameters()`.
    """
    with seeded(device, seed):
        for name, module in model.named_modules():
            if module in spared or _is_frozen(module):
                continue
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            elif next(module.parameters(recurse=False), None) is not None:
                raise RuntimeError(
                    f"cannot restart from other parameters: {name or 'the model'} ({type(module).__name__}) "
                    "has no reset_parameters()"
                )
    start_at = getattr(model, "start_at", None)
    if callable(start_at):
        start_at(mean_image.mean((1, 2)))


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters(recurse=False))
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
