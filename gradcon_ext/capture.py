"""What chosen layers of a model are given, and the gradients of what they return, during one pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass
class LayerRecord:
    """One layer in one pass.

    Attributes:
        input: what the layer was given, without a graph.
        grad_output: the gradient with respect to what it returned; None until a backward pass has reached it.
    """

    input: Tensor
    grad_output: Tensor | None = None


@dataclass
class Capture:
    """The records of a pass by the layers' names, and the tensors at which its graph begins."""

    records: dict[str, LayerRecord]
    leaves: list[Tensor]


@contextmanager
def captured(layers: Mapping[str, nn.Module]) -> Iterator[Capture]:
    """Record every layer's input as the model runs, and its output's gradient as the backward pass runs.

    Run the model inside the context with gradients enabled and parameters that do not require them: then the graph
    begins at the first of these layers, and a backward pass to `leaves` ends there. No weight gradient is formed. The
    hooks are gone when the context is left, also by an exception.

    Raises:
        ValueError: while the model runs, where a layer runs twice or is not given a single tensor.
    """
    capture = Capture({}, [])
    handles = [layer.register_forward_hook(_recorder(name, capture)) for name, layer in layers.items()]
    try:
        yield capture
    finally:
        for handle in handles:
            handle.remove()


def _recorder(name: str, capture: Capture) -> Any:
    def record_call(layer: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        if name in capture.records:
            raise ValueError(f"the layer of {name!r} runs more than once in a forward pass, which is not supported")
        if len(arguments) != 1 or not isinstance(arguments[0], Tensor):
            raise ValueError(f"the layer of {name!r} must be called with one tensor and nothing else")
        record = LayerRecord(arguments[0].detach())
        capture.records[name] = record
        if not output.requires_grad:
            leaf = output.detach().requires_grad_()
            capture.leaves.append(leaf)
            # A leaf must not be changed in place, and the activation that follows may do just that.
            output = leaf.clone()

        # A hook, unlike the tensor itself, stays with this value when an activation changes the tensor in place.
        def keep(gradient: Tensor) -> None:
            record.grad_output = gradient

        output.register_hook(keep)  # type: ignore[no-untyped-call]
        return output

    return record_call
