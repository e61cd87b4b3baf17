"""Which samples of a batch are differentiated by plain autograd, so that the others can be held against them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from gradcon_ext.alignment.gradients import as_rows
from gradcon_ext.alignment.plain import (
    LossWithAux,
    SampleGradient,
    finite_samples,
    plain_gradient,
    plain_gradient_in_batch,
)
from gradcon_ext.alignment.prepared import Prepared

_MOST = 8
"""Samples that are differentiated in search of two that are finite; where only losses are, it would be all."""


def compared_samples(
    prepared: Prepared, loss: LossWithAux, inputs: Tensor, targets: Tensor, alone: bool
) -> dict[int, SampleGradient]:
    """Differentiate two samples, by their index: the first, and that which differs most from it; of one, that one.

    Samples that are not finite, or whose loss or gradients are not, are taken only where there are no others.

    Args:
        prepared: samples must not influence each other in the model.
        loss: of single samples.
        inputs: (N, ...), at least one.
        targets: (N, ...).
        alone: whether one sample alone has a loss; each is differentiated in its batch otherwise.
    """
    found: dict[int, SampleGradient] = {}
    for row in _candidates(prepared, loss, inputs, targets):
        found[row] = _plain_of(prepared, loss, inputs, targets, row, alone)
        finite = [row for row, sample in found.items() if sample.is_finite()]
        if len(finite) == 2:
            break
    rows = [*finite, *(row for row in found if row not in finite)][:2]
    return {row: found[row] for row in rows}


def _plain_of(
    prepared: Prepared, loss: LossWithAux, inputs: Tensor, targets: Tensor, row: int, alone: bool
) -> SampleGradient:
    copied, names = prepared.trainable(), list(prepared.weights)  # a copy that is gone before the next is made
    if not alone:
        return plain_gradient_in_batch(copied, loss, names, inputs, targets, row)
    part = slice(row, row + 1)
    return plain_gradient(copied, loss, names, inputs[part], targets[part])


def _candidates(prepared: Prepared, loss: LossWithAux, inputs: Tensor, targets: Tensor) -> Iterator[int]:
    """Two samples, and while more are asked for, some others whose losses are finite."""
    first, *others = _by_distance(inputs)
    yield from (first, *others[:1])
    if len(others) > 1:
        finite = loss(prepared.trainable().module(inputs.clone()), targets)[0].isfinite().tolist()
        yield from islice((row for row in others[1:] if finite[row]), _MOST - 2)


def _by_distance(inputs: Tensor) -> list[int]:
    """Samples that are finite before others: the first, then those that differ from it, most first."""
    with torch.no_grad():
        finite = finite_samples(inputs)
        first = int(finite.int().argmax())
        flat = as_rows(inputs)
        distances = (flat - flat[first]).abs() if flat.is_floating_point() else flat.ne(flat[first])
        if flat.shape[1]:
            far = distances.float().nan_to_num().mean(1).masked_fill(~finite, -1.0)
        else:
            far = torch.arange(len(inputs), dtype=torch.float32)
        order = far.argsort(descending=True, stable=True).tolist()
    return [first, *(row for row in order if row != first)]
