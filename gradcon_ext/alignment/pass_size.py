"""How many samples a pass takes: as many as its activations leave room for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gradcon_ext.alignment.operations import Operations
from gradcon_ext.alignment.plain import LossWithAux
from gradcon_ext.alignment.prepared import Prepared
from gradcon_ext.alignment.proofs import described_tensor, surroundings
from gradcon_ext.alignment.watch import memory_of

MAX_ACTIVATION_BYTES = {"cpu": 1 << 28, "cuda": 1 << 32}
"""What all that a forward pass computes may take together: 256 MiB on a CPU, 4 GiB on a GPU."""
# More samples leave the caches, and free more memory than is kept.
_MOST_SAMPLES_OF_CPU = 256


def samples_of_pass(
    prepared: Prepared,
    loss: LossWithAux,
    inputs: Tensor,
    targets: Tensor | None,
    most_bytes: Mapping[str, int] = MAX_ACTIVATION_BYTES,
) -> int:
    """Return how many samples to take at a time, at least 1, such that they compute `most_bytes` of their device.

    It depends on the model, the loss and the shape of a sample, never on how many samples there are, and is found out
    once for each by a forward pass of a single one.
    """
    kind = inputs.device.type
    most = _MOST_SAMPLES_OF_CPU if kind == "cpu" else len(inputs)
    if len(inputs) < 2:
        return 1
    targets = inputs if targets is None else targets
    case = (
        prepared.in_eval_mode,
        *(described_tensor(one[:1]) for one in (inputs, targets)),
        surroundings(inputs.device),
    )
    size = prepared.proofs.sizes.find(case, loss)
    if size is None:
        size = _bytes_of_a_sample(prepared, loss, inputs[:1], targets[:1])
        prepared.proofs.sizes.keep(case, loss, size)
    return max(1, min(most, most_bytes.get(kind, most_bytes["cuda"]) // max(1, size)))


def _bytes_of_a_sample(prepared: Prepared, loss: LossWithAux, input: Tensor, target: Tensor) -> int:
    """Bytes of all that a forward pass of one sample computes; 0 where a single sample cannot be computed."""
    try:
        # Memory of its own: a forward may write into what it is given.
        copied = replace(prepared, numbers=True).frozen()
        input = input.clone()
        allocations = _Allocations((input, *copied.state.values()))
        with torch.no_grad(), allocations:
            loss(copied.module(input), target)
    except Exception:  # What is wrong, the pass itself will tell.
        return 0
    return allocations.bytes


class _Allocations(Operations):  # type: ignore[no-untyped-call]
    """Adds up the memory of what operations return, but for that of the given tensors."""

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()
        self.bytes = 0
        # Kept, so that no memory is freed and given out again: in a pass, the graph keeps most of it.
        self._seen = {memory_of(tensor): tensor for tensor in given}

    def after(self, result: Any) -> None:
        """Count what has not been seen before."""
        for tensor in result if isinstance(result, list | tuple) else (result,):
            memory = memory_of(tensor) if isinstance(tensor, Tensor) else None
            if memory is not None and memory not in self._seen:
                self._seen[memory] = tensor
                self.bytes += tensor.untyped_storage().nbytes()
