"""Results that say so when they are differentiated: without it their gradients would be zeros, without a word."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from gradcon_ext.ops._catalogue import compiled

_LIBRARY = torch.library.Library("gradcon_ext", "IMPL")  # type: ignore[no-untyped-call]


def refuse_derivatives(name: str) -> None:
    """Register what stands before a compiled op where its results could be differentiated, whoever calls it.

    A derivative of its results is then a RuntimeError that names the op, and so is a call that would overwrite a tensor
    whose derivative is asked for.
    """
    op = getattr(compiled, name).default
    written = [argument.alias_info is not None and argument.alias_info.is_write for argument in op._schema.arguments]
    single = len(op._schema.returns) == 1

    def run(keys: Any, *arguments: Any) -> Any:
        refuse_overwriting(name, itertools.compress(arguments, written))
        inputs = list(_tensors_in(arguments))
        is_tracked = any(map(_is_tracked, inputs))
        if is_tracked and torch._C._are_functorch_transforms_active():
            raise _error(name)  # no graph can be built here that would raise it later
        with torch._C._AutoDispatchBelowAutograd():
            results = op.redispatch(keys & torch._C._after_autograd_keyset, *arguments)
        if not is_tracked:
            return results
        marked = _marked(name, (results,) if single else tuple(results), inputs)
        return marked[0] if single else marked

    _LIBRARY.impl(name, run, "Autograd", with_keyset=True)  # type: ignore[no-untyped-call]
    if any(written):
        _count_versions(name, op, written)


def _count_versions(name: str, op: Any, written: list[bool]) -> None:
    """Register what tells graphs that saved the old numbers of a tensor that the op has overwritten it.

    The stable ABI leaves the version counter alone. Unlike the other key, this one is passed in inference mode too.
    """

    def run(keys: Any, *arguments: Any) -> Any:
        results = op.redispatch(keys & torch._C._after_ADInplaceOrView_keyset, *arguments)
        overwritten = itertools.compress(arguments, written)
        # An inference tensor has no version, and no graph saves it.
        torch.autograd.graph.increment_version([tensor for tensor in overwritten if not tensor.is_inference()])
        return results

    _LIBRARY.impl(name, run, "ADInplaceOrView", with_keyset=True)  # type: ignore[no-untyped-call]


def refuse_overwriting(name: str, tensors: Iterable[Tensor]) -> None:
    """Raise RuntimeError for a tensor that an op is to overwrite, and that a derivative is asked for by."""
    if any(_is_tracked(tensor) for tensor in tensors):
        raise RuntimeError(
            f"{name} is not differentiable, and overwrites a tensor that requires gradients; give it one that does not"
        )


def not_differentiable(name: str, results: tuple[Tensor, ...], inputs: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Return an op's results, such that a derivative of them by its inputs is a RuntimeError that names the op."""
    tensors = tuple(inputs)
    is_dual = forward_ad._current_level >= 0
    if is_dual or (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)):
        return _marked(name, results, tensors)
    return results


def _marked(name: str, results: tuple[Tensor, ...], inputs: Iterable[Tensor]) -> tuple[Tensor, ...]:
    refusal = _CompiledRefusal if torch.compiler.is_compiling() else _Refusal
    marked: tuple[Tensor, ...] = refusal.apply(name, len(results), *results, *inputs)  # type: ignore[no-untyped-call]
    return marked


def _is_tracked(tensor: Tensor) -> bool:
    if torch.is_grad_enabled() and tensor.requires_grad:
        return True
    return forward_ad._current_level >= 0 and forward_ad.unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]


def _tensors_in(arguments: Iterable[Any]) -> Iterator[Tensor]:
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from _tensors_in(argument)


class _CompiledRefusal(torch.autograd.Function):
    """Without the forward derivative, which `torch.compile` cannot trace."""

    generate_vmap_rule = True

    @staticmethod
    def forward(name: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.clone() for tensor in tensors[:count])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.op_name = inputs[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise _error(ctx.op_name)


class _Refusal(_CompiledRefusal):
    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Any:
        raise _error(ctx.op_name)


def _error(name: str) -> RuntimeError:
    return RuntimeError(f"{name} is not differentiable; detach what it is given where no gradient is meant")
