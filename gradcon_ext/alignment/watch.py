"""What a model does while it runs that its layers do not tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradcon_ext.alignment.operations import Operations

_READS = frozenset(
    (
        *(Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.data_ptr, Tensor.__dlpack__),
        *(Tensor.untyped_storage, Tensor.storage, Tensor._typed_storage),
    )
)
_CHANCE = ("dropout_p", "dropout", "p")
_SWITCH = ("train", "training")
# Which reduce an axis, or order what is on it; others that move samples do so whatever the numbers are.
_ALONG_AXES = frozenset(
    (
        *("all", "amax", "amin", "aminmax", "any", "argmax", "argmin", "argsort", "count_nonzero", "cummax", "cummin"),
        *("cumprod", "cumsum", "gather", "index_select", "kthvalue", "linalg_vector_norm", "logcumsumexp", "logsumexp"),
        *("max", "mean", "median", "min", "mode", "nanmedian", "nansum", "norm", "prod", "sort", "std", "std_mean"),
        *("sum", "topk", "var", "var_mean", "_log_softmax", "_softmax"),
    )
)
_BY_INDICES = frozenset(
    ("index", "index_put", "index_put_", "masked_select", "nonzero", "take", "_unique2", "unique_dim")
)


class ChangesParametersError(Exception):
    """A forward is about to change a parameter, whose memory is not its own."""


class Watch(Operations):  # type: ignore[no-untyped-call]
    """Sees every operation of a pass, wherever it comes from.

    Attributes:
        random: an operation that draws random numbers, if any.
        behind: a parameter or buffer of the original that was used instead of the copy's, if any.
        changes: a parameter that would have been changed in place, if any.
        reads_values: whether Python code looks at numbers, and may go other ways for others.
        may_mix: whether something is reduced or ordered as a whole, or along the first axis. So samples may influence
            each other, and whether they do may depend on their numbers.
        refused: whether it has raised a ValueError.

    Args:
        original: the model that was copied.
        guarded: names and tensors that must not be changed in place.
        input: of the pass, which must not be changed.
        strict: raise ValueError before anything of the original is used.
    """

    def __init__(self, original: nn.Module, guarded: Iterable[tuple[str, Tensor]], input: Tensor, strict: bool) -> None:
        super().__init__()
        self.random: str | None = None
        self.behind: str | None = None
        self.changes: str | None = None
        self.reads_values = False
        self.may_mix = False
        self.refused = False
        tensors = list(guarded)
        self._memory = {memory_of(parameter): name for name, parameter in tensors}
        self._guarded = {id(parameter): (name, parameter, memory_of(parameter)) for name, parameter in tensors}
        self._input = memory_of(input) or -1
        self._strict = strict
        self._of_samples = {id(input): input}  # kept alive, so that no other tensor takes the place of one
        self._is_of_samples = False
        self._names = {id(tensor): name for name, tensor in (*original.named_parameters(), *original.named_buffers())}

    def merge(self, other: Watch) -> None:
        """Take in what another watch of the same model has seen."""
        self.random = self.random or other.random
        self.behind = self.behind or other.behind
        self.changes = self.changes or other.changes
        self.reads_values |= other.reads_values
        self.may_mix |= other.may_mix

    def before(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note what is of interest in a call."""
        self._is_of_samples = any(id(tensor) in self._of_samples for tensor in _tensors_in((*args, *kwargs.values())))
        if args and id(args[0]) in self._of_samples and _mixes_the_first_axis(func, args, kwargs):
            self.may_mix = True
        if _draws(func, args, kwargs):
            self.random = func.name().split("::")[-1].split(".")[0]
        if _tells_numbers(func, args):
            self.reads_values = True
        if func._schema.is_mutable:
            self._check_changed(func, args, kwargs)
        for tensor in _tensors_in((*args, *kwargs.values())):
            if id(tensor) in self._guarded:
                self._check_data(tensor)
            if id(tensor) in self._names:
                self._used(self._names[id(tensor)])

    def __exit__(self, *error: object) -> None:
        """End, and let go of what was computed."""
        super().__exit__(*error)
        self._of_samples.clear()

    def after(self, result: Any) -> None:
        """Note what is computed from the samples."""
        if self._is_of_samples:
            self._of_samples.update((id(tensor), tensor) for tensor in _tensors_in((result,)))

    def _check_changed(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        declared = func._schema.arguments
        given = {**dict(zip((argument.name for argument in declared), args, strict=False)), **kwargs}
        for argument in declared:
            value = given.get(argument.name)
            if argument.is_out or (argument.alias_info is not None and argument.alias_info.is_write):
                for tensor in value if isinstance(value, list | tuple) else (value,):
                    if isinstance(tensor, Tensor) and memory_of(tensor) == self._input:
                        self.refused = True
                        raise ValueError("the model changes its input in place; it must clone it first")
                    if isinstance(tensor, Tensor) and memory_of(tensor) in self._memory:
                        self.changes = self._memory[memory_of(tensor)]
                        raise ChangesParametersError(f"{self.changes} is changed in place")

    def _check_data(self, tensor: Tensor) -> None:
        """Notice that a parameter has been given other data, which may be put back before the forward ends."""
        name, _, memory = self._guarded[id(tensor)]
        if memory_of(tensor) != memory:
            self.changes = name
            raise ChangesParametersError(f"{name} is given other data")

    def _used(self, name: str) -> None:
        self.behind = name
        if self._strict:
            self.refused = True
            raise ValueError(
                f"the model uses its {name} through a reference that a private copy in eval mode does not have, such "
                "as a function that closes over a layer; call model.eval() first"
            )


class ReadsOfMemory(TorchFunctionMode):
    """Notes for a watch what it does not see: numbers that Python code takes from memory, with no operation.

    Args:
        watch: whose `reads_values` is set.
    """

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Note a call that reads numbers, and do it."""
        if func in _READS:
            self._watch.reads_values = True
        return func(*args, **(kwargs or {}))


def memory_of(tensor: Tensor) -> int | None:
    """Where the numbers of a tensor begin; None where it has none that can be shared."""
    if tensor.layout != torch.strided or tensor.numel() == 0:
        return None
    return tensor.untyped_storage().data_ptr()


def same_numbers(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal to the bit, also where they are NaN; taken to be so where no memory can be read."""
    if memory_of(one) is None or memory_of(other) is None:
        return True
    bits, others = (tensor.detach().contiguous().view(-1).view(torch.uint8) for tensor in (one, other))
    return torch.equal(bits, others)


def _tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, Tensor):
                yield item


def _mixes_the_first_axis(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation reduces or orders a whole tensor, or the axis that samples are on."""
    name = func.name().split("::")[-1].split(".")[0]
    given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | dict(kwargs)
    if name in _BY_INDICES:
        indices = given.get("indices")
        return not isinstance(indices, list | tuple) or indices[0] is not None
    if name not in _ALONG_AXES:
        return False
    axes = given.get("dim")
    axes = [] if axes is None else [axes] if isinstance(axes, int) else axes
    return not axes or any(axis in (0, -args[0].dim()) for axis in axes)


def _tells_numbers(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether Python code learns of numbers, be it by the size of what an operation selects."""
    if func is torch.ops.aten.index.Tensor:
        return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags


def _draws(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation draws random numbers, and not just could."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    declared = func._schema.arguments
    given = {argument.name: argument.default_value for argument in declared if argument.has_default_value()}
    given.update(zip((argument.name for argument in declared), args, strict=False))
    given.update(kwargs)
    if any(given.get(name, True) is False for name in _SWITCH):
        return False
    chances = [given[name] for name in _CHANCE if isinstance(given.get(name), int | float)]
    return not chances or any(chances)
