"""Sums over gradients: that of all samples' own, and of each sample's the sum of its absolute values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.fallback import SampleLoss
from gradcon_ext.alignment.gradients import ExplicitGradients
from gradcon_ext.alignment.pass_size import MAX_ACTIVATION_BYTES
from gradcon_ext.alignment.passes import passes

# As many samples as fill the lanes of the fused op are no slower than more, and memory stops growing sooner.
_BYTES_OF_NORMS = {**MAX_ACTIVATION_BYTES, "cpu": 1 << 26}


def gradient_sum(
    model: nn.Module, loss: SampleLoss, inputs: Tensor, names: Sequence[str], batch_size: int | None = None
) -> dict[str, Tensor]:
    """Return the sum of all samples' gradients, of the shape of each parameter, by name.

    Args:
        model: as for `per_sample_alignment`.
        loss: likewise.
        inputs: (N, ...).
        names: of the parameters.
        batch_size: as for `per_sample_alignment`.

    Raises:
        ValueError: as for `per_sample_alignment`.
    """
    sums: dict[str, Tensor] = {}
    for gradients in passes(model, loss, inputs, names, batch_size):
        ones = torch.ones_like(gradients.losses, dtype=torch.promote_types(gradients.losses.dtype, torch.float32))
        for name, part in gradients.weighted_sums(dict.fromkeys(names, ones)).items():
            sums[name] = sums[name] + part if name in sums else part
        del gradients
    return {name: sums.get(name, torch.zeros_like(model.get_parameter(name)).detach()) for name in names}


def absolute_sums(
    model: nn.Module, loss: SampleLoss, inputs: Tensor, names: Sequence[str], batch_size: int | None = None
) -> dict[str, Tensor]:
    """Return the L1 norm of every sample's gradients, (N,), by the names of the parameters.

    That of a linear layer with one position is the product of the L1 norms of what it is given and of its output's
    gradient, for its weight gradient is their outer product. On a CPU no gradient of another linear layer or of a
    convolution is held either, but for a tile of it; on a GPU they are formed, one sample's at a time. Gradients of
    biases and of normalisation layers are formed, which are small, and those on the fallback are too, a chunk of
    samples at a time.

    Args:
        model: as for `per_sample_alignment`.
        loss: likewise.
        inputs: (N, ...).
        names: of the parameters.
        batch_size: samples in a pass; by default as many as compute 64 MiB in their forward pass (4 GiB on a GPU).

    Raises:
        ValueError: as for `per_sample_alignment`.
    """
    columns: dict[str, list[Tensor]] = {name: [] for name in names}
    for gradients in passes(model, loss, inputs, names, batch_size, most_activation_bytes=_BYTES_OF_NORMS):
        for name, route in gradients.routes.items():
            if route.gradients is not None:
                columns[name].append(route.gradients.l1_norms())
            elif not route.reached:
                columns[name].append(torch.zeros_like(gradients.losses))
        for chunk in gradients.chunks():
            for name, formed in chunk.items():
                columns[name].append(ExplicitGradients(formed).l1_norms())
        del gradients
    return {name: torch.cat(parts) for name, parts in columns.items()}
