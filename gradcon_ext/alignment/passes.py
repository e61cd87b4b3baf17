"""Several passes over samples, as many at a time as there is memory for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from gradcon_ext.alignment.fallback import SampleLoss
from gradcon_ext.alignment.pass_size import MAX_ACTIVATION_BYTES, samples_of_pass
from gradcon_ext.alignment.per_sample import MAX_BYTES, split_together, warn_of_unreached
from gradcon_ext.alignment.prepared import prepare
from gradcon_ext.alignment.sample_gradients import SampleGradients, sample_gradients


def passes(
    model: nn.Module,
    loss: SampleLoss,
    inputs: Tensor,
    names: Sequence[str],
    batch_size: int | None,
    targets: Tensor | None = None,
    max_bytes: int = MAX_BYTES,
    most_activation_bytes: Mapping[str, int] = MAX_ACTIVATION_BYTES,
) -> Iterator[SampleGradients]:
    """Yield what each pass leaves, and warn at the line that called the caller; see `per_sample_alignment`.

    A pass is of `batch_size` samples, or else of as many as `most_activation_bytes` hold, by the type of a device.
    Memory is that of one pass as long as the caller lets go of one before it asks for the next.
    """
    prepared = prepare(model, names)

    def loss_and_nothing(output: Any, target: Tensor) -> tuple[Tensor, None]:
        return loss(output, target), None

    if batch_size is None:
        batch_size = samples_of_pass(prepared, loss_and_nothing, inputs, targets, most_activation_bytes)
    for number, (batch, batch_targets) in enumerate(split_together(inputs, targets, batch_size)):
        gradients = sample_gradients(prepared, loss_and_nothing, batch, batch_targets, max_bytes)
        if number == 0:
            warn_of_unreached(gradients, stacklevel=4)
        yield gradients
        del gradients  # before the next pass: they hold the activations of this one
