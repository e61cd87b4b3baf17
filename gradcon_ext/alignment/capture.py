"""What chosen modules of a model are given, and the gradients of what they return, during one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass
class Call:
    """One call of a module.

    Attributes:
        input: what the module was given, (N, ...), without a graph.
        grad_output: the gradient with respect to what it returned; None until a backward pass has reached it.
    """

    input: Tensor
    grad_output: Tensor | None = None


@dataclass
class Capture:
    """What was seen in a pass.

    Attributes:
        calls: the calls of each module, in order; of a call with anything but one tensor only `irregular` tells.
        irregular: modules that were called with something else than one tensor, or returned something else, or had
            other parameters than their own when they were called.
        leaves: the tensors at which the graph begins.
        uses: how often each parameter was given to a torch function, by the name in `parameters`.
    """

    calls: dict[nn.Module, list[Call]] = field(default_factory=dict)
    irregular: set[nn.Module] = field(default_factory=set)
    leaves: list[Tensor] = field(default_factory=list)
    uses: Counter[str] = field(default_factory=Counter)


@contextmanager
def captured(modules: Iterable[nn.Module], parameters: Mapping[str, Tensor]) -> Iterator[Capture]:
    """Record every module's inputs as the model runs, and its outputs' gradients as the backward pass runs.

    Run the model inside the context with gradients enabled and `parameters` that do not require them: then the graph
    begins at the first of these modules, and a backward pass to `leaves` ends there. No weight gradient is formed. The
    hooks are gone when the context is left, also by an exception.

    Args:
        modules: to record.
        parameters: the tensors that the model runs with, by name; their uses are counted.
    """
    capture = Capture()
    handles = [module.register_forward_hook(_recorder(capture, _parameters(module))) for module in modules]
    try:
        with _UseCounter(capture.uses, parameters):
            yield capture
    finally:
        for handle in handles:
            handle.remove()


def _parameters(module: nn.Module) -> list[int]:
    return list(map(id, module._parameters.values()))


def _recorder(capture: Capture, parameters: list[int]) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
    def record_call(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
        if _parameters(module) != parameters:  # as in torch.func.functional_call
            capture.irregular.add(module)
            return output
        if len(arguments) != 1 or not isinstance(arguments[0], Tensor) or not isinstance(output, Tensor):
            capture.irregular.add(module)
            return output
        call = Call(arguments[0].detach())
        capture.calls.setdefault(module, []).append(call)
        if not torch.is_grad_enabled():  # The model wants no gradient here, so none reaches it.
            return output
        if not output.requires_grad:
            leaf = output.detach().requires_grad_()
            capture.leaves.append(leaf)
            # A leaf must not be changed in place, and the activation that follows may do just that.
            output = leaf.clone()

        # A hook, unlike the tensor itself, stays with this value when an activation changes the tensor in place.
        def keep(gradient: Tensor) -> None:
            call.grad_output = gradient

        output.register_hook(keep)
        return output

    return record_call


class _UseCounter(TorchFunctionMode):
    """Counts how often tensors are given to torch functions, which also finds weights used behind a module's back."""

    def __init__(self, uses: Counter[str], parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._uses = uses
        self._names = {id(tensor): name for name, tensor in parameters.items()}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        for value in (*args, *kwargs.values()):
            for tensor in value if isinstance(value, list | tuple) else (value,):
                if id(tensor) in self._names:
                    self._uses[self._names[id(tensor)]] += 1
        return func(*args, **kwargs)
