"""Average alignment of every sample's gradients with those of all other samples (Figure 3 of the paper)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.cosine import SMALLEST_NORM, inverse_norm
from gradcon_ext.alignment.fallback import SampleLoss
from gradcon_ext.alignment.pass_size import samples_of_pass
from gradcon_ext.alignment.per_sample import MAX_BYTES, split_together, warn_of_unreached
from gradcon_ext.alignment.prepared import prepare
from gradcon_ext.alignment.references import References
from gradcon_ext.alignment.sample_gradients import SampleGradients, sample_gradients


def average_alignment(
    model: nn.Module,
    loss: SampleLoss,
    inputs: Tensor,
    parameters: Sequence[str],
    targets: Tensor | None = None,
    *,
    others: Tensor | None = None,
    other_targets: Tensor | None = None,
    batch_size: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> dict[str, Tensor]:
    """Average alignment of every sample's gradient with those of all other samples (Figure 3 of the paper).

    mean over m != n of cos(g_n, g_m) = (<g_n / |g_n|, sum over m of g_m / |g_m|> - 1) / (N - 1), so two passes over
    the samples do, and nothing is of size N x N. A zero gradient, and one that is smaller than the
    smallest normal number of its dtype, has cosine 0 with every other.

    Args:
        model: as for `per_sample_alignment`.
        loss: likewise.
        inputs: (N, ...), with N at least 2 where there are no `others`.
        parameters: names of the parameters.
        targets: (N, ...).
        others: samples (M, ...) to average over, instead of the other inputs; at least one.
        other_targets: of those, (M, ...).
        batch_size: as for `per_sample_alignment`.
        max_bytes: as for `per_sample_alignment`.

    Returns:
        The averages (N,) of each parameter, by name.

    Raises:
        ValueError: as for `per_sample_alignment`, or there are too few samples to average over.
    """
    among_themselves = others is None
    if others is None:
        if other_targets is not None:
            raise ValueError("other_targets are those of others, but there are no others")
        if len(inputs) < 2:
            raise ValueError(f"an average over all other inputs needs at least 2 of them, got {len(inputs)}")
        others, other_targets = inputs, targets
    elif len(others) == 0:
        raise ValueError("there are no others to average over; expected at least 1")
    prepared = prepare(model, parameters)
    shapes = {name: weight.shape for name, weight in prepared.weights.items()}

    def loss_and_nothing(output: Any, target: Tensor) -> tuple[Tensor, None]:
        return loss(output, target), None

    def passes(samples: Tensor, their_targets: Tensor | None) -> Iterator[SampleGradients]:
        size = batch_size
        if size is None:
            size = samples_of_pass(prepared, loss_and_nothing, samples, their_targets)
        for batch, batch_targets in split_together(samples, their_targets, size):
            yield sample_gradients(prepared, loss_and_nothing, batch, batch_targets, max_bytes)

    unit_sums: dict[str, Tensor] = {}
    for gradients in passes(others, other_targets):
        if not unit_sums:  # as in every pass after the first, unless the loss reaches nothing at all
            warn_of_unreached(gradients, stacklevel=3)
        none = {name: References(gradients.losses.new_empty(0, *shape)) for name, shape in shapes.items()}
        dtype = torch.promote_types(gradients.losses.dtype, torch.float32)
        inverse_norms = {name: _inverse_norm(sq_norms, dtype) for name, (_, sq_norms) in gradients.align(none).items()}
        for name, part in gradients.weighted_sums(inverse_norms).items():
            unit_sums[name] = unit_sums[name] + part if name in unit_sums else part
        del gradients  # before the next pass: they hold the activations of this one
    averages: dict[str, list[Tensor]] = {name: [] for name in parameters}
    for gradients in passes(inputs, targets):
        references = {
            name: References(unit_sums.get(name, gradients.losses.new_zeros(shape))[None])
            for name, shape in shapes.items()
        }
        for name, (dots, sq_norms) in gradients.align(references).items():
            # A sample's own part of the sum is the unit vector g/|g|, or nothing where g is zero.
            inverse_norms_here = _inverse_norm(sq_norms, dtype).double()
            own = (inverse_norms_here != 0).to(dots) if among_themselves else 0
            sums = dots[:, 0] * inverse_norms_here - own
            averages[name].append((sums / (len(others) - among_themselves)).to(dtype))
        del gradients
    return {name: torch.cat(parts) for name, parts in averages.items()}


def _inverse_norm(sq_norms: Tensor, dtype: torch.dtype) -> Tensor:
    """In `dtype`, where the inverse of a smaller norm than its smallest normal number would not be finite."""
    return inverse_norm(sq_norms.sqrt(), max(torch.finfo(dtype).tiny, SMALLEST_NORM)).to(dtype)
