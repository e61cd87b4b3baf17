"""Gradients of one sample by plain autograd: the definition that every other way has to agree with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradcon_ext.alignment.gradients import as_rows
from gradcon_ext.alignment.private_copy import PrivateCopy

LossWithAux = Callable[[Any, Tensor], tuple[Tensor, Any]]
"""Takes the model's output and the inputs or targets; returns one value a sample, (N,), and anything else."""


@dataclass(frozen=True)
class SampleGradient:
    """The loss of one sample, a 0-dim tensor, and its gradients by name; zeros where the loss does not depend."""

    loss: Tensor
    gradients: dict[str, Tensor]

    def is_finite(self) -> bool:
        """Whether the loss and all gradients are."""
        return all(bool(numbers.isfinite().all()) for numbers in (self.loss, *self.gradients.values()))


def plain_gradient(
    copied: PrivateCopy, loss: LossWithAux, names: list[str], input: Tensor, target: Tensor
) -> SampleGradient:
    """Differentiate the loss of a batch of one sample.

    Args:
        copied: whose parameters require gradients.
        loss: see `LossWithAux`.
        names: of the parameters to differentiate by.
        input: (1, ...).
        target: (1, ...).
    """
    value = loss(copied.module(input), target)[0].sum()
    # Its graph may hold tensors that the model made before, and needs again.
    wanted = [copied.parameters[name] for name in names]
    gradients: Mapping[str, Tensor | None] = {}
    if value.requires_grad:
        gradients = dict(
            zip(names, torch.autograd.grad(value, wanted, retain_graph=True, allow_unused=True), strict=True)
        )
    formed = {name: _or_zeros(gradients.get(name), weight) for name, weight in zip(names, wanted, strict=True)}
    return SampleGradient(value.detach(), formed)


def plain_gradient_in_batch(
    copied: PrivateCopy, loss: LossWithAux, names: list[str], inputs: Tensor, targets: Tensor, row: int
) -> SampleGradient:
    """Differentiate the loss of one sample in its batch, for what cannot compute one sample alone.

    Others that are not finite, or whose losses are not, leave their places to copies of it: in the backward pass, zero
    times what is not finite would be NaN.

    Raises:
        ValueError: it depends on another sample, or the loss does not return one value a sample.
    """
    finite = finite_samples(inputs)
    varied, losses = _losses_in_company(copied, loss, inputs, targets, row, finite)
    if losses[row].isfinite() and not losses.isfinite().all():
        varied, losses = _losses_in_company(copied, loss, inputs, targets, row, finite & losses.isfinite())
    value = losses[row]
    wanted = [copied.parameters[name] for name in names]
    gradients: list[Tensor | None] = [None] * len(wanted)
    if value.requires_grad:
        by = wanted if varied is None else [*wanted, varied]
        found = torch.autograd.grad(value, by, retain_graph=True, allow_unused=True)
        gradients = list(found[: len(wanted)])
        of_inputs = None if varied is None else found[-1]
        if of_inputs is not None and _depends_on_others(of_inputs, row):
            raise ValueError(
                f"the loss of sample {row} depends on others of its batch: samples influence each other, as in "
                "batch_norm(training=True); they must be independent in eval mode"
            )
    formed = {name: _or_zeros(*pair) for name, pair in zip(names, zip(gradients, wanted, strict=True), strict=True)}
    return SampleGradient(value.detach(), formed)


def finite_samples(inputs: Tensor) -> Tensor:
    """Tell which samples (N, ...) hold nothing but finite numbers, (N,)."""
    return as_rows(inputs).isfinite().all(1)


def _losses_in_company(
    copied: PrivateCopy, loss: LossWithAux, inputs: Tensor, targets: Tensor, row: int, company: Tensor
) -> tuple[Tensor | None, Tensor]:
    """The inputs to differentiate by, if they can be, and the losses (N,) where a sample has only some for company."""
    if not company.all():
        rows = torch.arange(len(inputs), device=inputs.device).where(company, row)
        inputs, targets = inputs[rows], targets[rows.to(targets.device)]
    varied = inputs.clone().requires_grad_() if inputs.is_floating_point() else None
    losses = loss(copied.module(inputs if varied is None else varied), targets)[0]
    check_losses(losses, inputs)
    return varied, losses


def _depends_on_others(of_inputs: Tensor, row: int) -> bool:
    """Whether a gradient by the inputs (N, ...) reaches other samples; NaN is what zero times infinity leaves."""
    others = torch.cat([of_inputs[:row], of_inputs[row + 1 :]])
    return bool(((others != 0) & ~others.isnan()).any())


def check_losses(losses: Tensor, inputs: Tensor) -> None:
    """Raise ValueError unless there is one loss a sample."""
    if losses.shape != inputs.shape[:1]:
        raise ValueError(f"the loss must return one value a sample, ({len(inputs)},), got {tuple(losses.shape)}")


def _or_zeros(gradient: Tensor | None, weight: Tensor) -> Tensor:
    return torch.zeros_like(weight, requires_grad=False) if gradient is None else gradient.detach()
