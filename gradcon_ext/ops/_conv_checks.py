"""What is wrong with a convolution that an op is told of, in the words of its caller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class CheckedConv(NamedTuple):
    """A convolution that fits its tensors.

    Attributes:
        weight: the shape of its weight.
        settings: stride, padding, dilation, groups and whether it is transposed, as the compiled ops take them.
    """

    weight: tuple[int, ...]
    settings: tuple[list[int], list[int], list[int], int, bool]


def check_conv(
    input: Tensor,
    grad_output: Tensor,
    kernel: tuple[int, ...],
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    dilation: int | Sequence[int],
    groups: int,
    transposed: bool,
) -> CheckedConv:
    """Raise ValueError unless input and grad_output, of an axis for each number of the kernel, fit the convolution."""
    axes = len(kernel)
    strides = per_axis("stride", stride, axes, least=1)
    paddings = per_axis("padding", padding, axes, least=0)
    dilations = per_axis("dilation", dilation, axes, least=1)
    # Both maps walk the inner grid and stride over the outer one; the weight is (inner, outer / groups, *kernel).
    inner, outer = (input, grad_output) if transposed else (grad_output, input)
    if not isinstance(groups, int) or groups < 1 or inner.shape[1] % groups or outer.shape[1] % groups:
        raise ValueError(f"groups={groups} must divide {inner.shape[1]} and {outer.shape[1]} channels")
    if input.shape[0] != grad_output.shape[0]:
        raise ValueError(f"input has {input.shape[0]} samples, but grad_output has {grad_output.shape[0]}")
    for axis in range(axes):
        reach = (inner.shape[2 + axis] - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
        rest = outer.shape[2 + axis] + 2 * paddings[axis] - reach
        # A stride can leave positions of the outer grid over (output_padding, when transposed), but not a whole step.
        if not 0 <= rest < (max(strides[axis], dilations[axis]) if transposed else strides[axis]):
            raise ValueError(
                f"spatial sizes {tuple(input.shape[2:])} of input and {tuple(grad_output.shape[2:])} of grad_output do "
                f"not fit kernel {kernel}, stride {strides}, padding {paddings}, "
                f"dilation {dilations}, transposed={transposed}"
            )
    weight = (inner.shape[1], outer.shape[1] // groups, *kernel)
    return CheckedConv(weight, (strides, paddings, dilations, groups, transposed))


def per_axis(name: str, value: int | Sequence[int], axes: int, least: int) -> list[int]:
    """Return a number for each axis; raise ValueError unless there are so many, or one for all, and none is less."""
    values = [value] * axes if isinstance(value, int) else list(value)
    if len(values) != axes or any(not isinstance(v, int) or v < least for v in values):
        raise ValueError(f"{name} must be one or {axes} integers of at least {least}, got {value}")
    return values
