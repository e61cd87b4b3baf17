"""Random layers for property-based tests of the ops."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class ConvCase:
    """A convolution or transposed convolution and a batch for it; 1-D or 2-D."""

    samples: int
    groups: int
    in_per_group: int
    out_per_group: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    transposed: bool
    seed: int

    @property
    def arguments(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, bool]:
        return self.stride, self.padding, self.dilation, self.groups, self.transposed

    def tensors(self, dtype: torch.dtype, non_contiguous: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Input, output gradient and reference."""
        generator = torch.Generator().manual_seed(self.seed)

        def draw(*shape: int) -> Tensor:
            if not non_contiguous:
                return torch.randn(shape, generator=generator, dtype=dtype)
            # Channels last, every second column, samples in reverse order.
            wide = torch.randn(shape[0], *shape[2:-1], 2 * shape[-1], shape[1], generator=generator, dtype=dtype)
            return wide.movedim(-1, 1)[..., ::2].flip(0)

        input = draw(self.samples, self.groups * self.in_per_group, *self.size)
        first, second = self.in_per_group, self.out_per_group
        if not self.transposed:
            first, second = second, first
        reference = torch.randn(self.groups * first, second, *self.kernel, generator=generator, dtype=dtype)
        grad_output = draw(*self._forward(input, reference).shape)
        return input, grad_output, reference

    def _forward(self, input: Tensor, weight: Tensor) -> Tensor:
        axes = len(self.size) - 1
        if self.transposed:
            transposed = (functional.conv_transpose1d, functional.conv_transpose2d)[axes]
            return transposed(
                input,
                weight,
                None,
                self.stride,
                self.padding,
                self.output_padding,
                self.groups,
                self.dilation,
            )
        convolution = (functional.conv1d, functional.conv2d)[axes]
        return convolution(input, weight, None, self.stride, self.padding, self.dilation, self.groups)


@st.composite
def conv_cases(draw: st.DrawFn) -> ConvCase:
    """Kernels, strides, paddings, dilations, groups, 1-D and 2-D, odd sizes, 0, 1 and many samples."""
    axes = draw(st.integers(1, 2))
    transposed = draw(st.booleans())

    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    kernel, stride, dilation = per_axis(1, 4), per_axis(1, 3), per_axis(1, 3)
    padding = tuple(draw(st.integers(0, d * (k - 1) + 1)) for k, d in zip(kernel, dilation, strict=True))
    output_padding = tuple(
        draw(st.integers(0, max(s, d) - 1)) if transposed else 0 for s, d in zip(stride, dilation, strict=True)
    )
    # The smallest grid that leaves at least one output position.
    if transposed:
        least = [
            max(1, -(-(2 * p + 1 - d * (k - 1) - 1 - extra) // s) + 1)
            for k, s, p, d, extra in zip(kernel, stride, padding, dilation, output_padding, strict=True)
        ]
    else:
        least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True)]
    return ConvCase(
        samples=draw(st.sampled_from([0, 1, 2, 5, 8, 16, 19, 33])),
        groups=draw(st.integers(1, 3)),
        in_per_group=draw(st.integers(1, 8)),
        out_per_group=draw(st.integers(1, 8)),
        size=tuple(low + draw(st.integers(0, 6)) for low in least),
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        output_padding=output_padding,
        transposed=transposed,
        seed=draw(st.integers(0, 2**16)),
    )
