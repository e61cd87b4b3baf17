"""Dead starts: training that leads nowhere from its first epochs on.

With PyTorch's default initialisation and Adam, some seeds lose their ReLUs within an epoch, and others drive every
output into one end of the sigmoid, where hardly any gradient is left. Both happen with and without the constraint. On
images that are mostly black, such as the ones of MNIST, nearly every seed does the latter: from reconstructions of 0.5,
all weights are first moved towards darkness. So a model that has a `start_at` begins its next attempt with
reconstructions that are as bright as the images.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

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

_RESET = "reset_parameters"
"""The method by which modules of torch draw their parameters anew."""


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

    Parameters that do not require gradients, such as those of a pretrained encoder, stay as they are.

    Args:
        model: as bright as the images from now on, if it has a `start_at`, such as those of `gradcon_ext.models`.
        device: of the model.
        seed: decides what is drawn.
        mean_image: of the images, (C, H, W).
        spared: modules that stay as they are.

    Raises:
        RuntimeError: a module has parameters of its own, but no `reset_parameters()`.
    """
    reason = why_not_redrawn(model, spared)
    if reason is not None:
        raise RuntimeError(f"cannot restart from other parameters: {reason}")
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    with seeded(device, seed), _unchanged(frozen):
        for _, module in _drawn(model, spared):
            reset = getattr(module, _RESET, None)
            if callable(reset):
                reset()
        start_at = getattr(model, "start_at", None)
        if callable(start_at):
            start_at(mean_image.mean((1, 2)))


def why_not_redrawn(model: nn.Module, spared: Collection[nn.Module] = ()) -> str | None:
    """Say which module of a model cannot be drawn anew; None where `redraw` can do so."""
    for name, module in _drawn(model, spared):
        has_parameters = next(module.parameters(recurse=False), None) is not None
        if has_parameters and not callable(getattr(module, _RESET, None)):
            return f"{name or 'the model'} ({type(module).__name__}) has no {_RESET}()"
    return None


def _drawn(model: nn.Module, spared: Collection[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """The modules, by name, whose own parameters are drawn."""
    return ((name, each) for name, each in model.named_modules() if each not in spared and not _is_frozen(each))


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters(recurse=False))
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


@contextmanager
def _unchanged(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Give parameters their numbers back after a block."""
    numbers = [parameter.detach().clone() for parameter in parameters]
    yield
    with torch.no_grad():
        for parameter, before in zip(parameters, numbers, strict=True):
            parameter.copy_(before)
