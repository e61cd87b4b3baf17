"""What both detectors differentiate, and by which weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from torch import Tensor, nn

from gradcon_ext.alignment.fallback import SampleLoss


@cache  # One object for each temperature: what was proven of a model is kept by its loss.
def loss_to_uniform(temperature: float) -> SampleLoss:
    """Return the Kullback-Leibler divergence of the uniform distribution from the softmax, less its constant.

    Section 3.1 of Huang, Geng and Li (2021), On the Importance of Gradients for Detecting Distributional Shifts in the
    Wild: the cross entropy of uniform labels, the mean over classes of logits (N, classes). It needs no label.
    """

    def loss(logits: object, _: Tensor) -> Tensor:
        return -(checked_logits(logits) / temperature).log_softmax(1).mean(1)

    return loss


def checked_logits(output: object) -> Tensor:
    """Return what a model has returned; raise ValueError unless it is logits (N, classes)."""
    if not isinstance(output, Tensor) or output.dim() != 2:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"the model returns {found}; expected logits (N, classes)")
    return output


def weights_of(model: nn.Module, names: Sequence[str] | None) -> list[str]:
    """Return the names of weights, those of the last linear layer by default.

    Raises:
        ValueError: no names, one that the model has not, or no linear layer where none is named.
    """
    if names is not None:
        known = dict(model.named_parameters())
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise ValueError(f"the model has no weight {unknown[0]!r}" if unknown else "expected one name or more")
        return list(names)
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"{type(model).__name__} has no linear layer: name the weights, such as layers=['fc.weight']")
    return [f"{linear[-1]}.weight".removeprefix(".")]
