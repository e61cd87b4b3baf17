"""Random layers and chains of layers for property-based tests of the ops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext.losses import Loss, VariationalOutput, evidence_bound, squared_error


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


Module = tuple[type[nn.Module], dict[str, Any]]
"""A module and its arguments."""


class Autoencoder(nn.Module):
    """Modules one after the other; around a variational bottleneck where there is one."""

    def __init__(self, encoder: list[nn.Module], code: tuple[int, int] | None, decoder: list[nn.Module]) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*encoder)
        if code is not None:
            self.mean = nn.Linear(*code)
            self.log_variance = nn.Linear(*code)
        self.decoder = nn.Sequential(*decoder)
        self.is_variational = code is not None

    def forward(self, images: Tensor) -> Tensor | VariationalOutput:
        features = self.encoder(images)
        if not self.is_variational:
            return self.decoder(features)
        mean, log_variance = self.mean(features), self.log_variance(features)
        return VariationalOutput(self.decoder(mean), mean, log_variance)


@dataclass(frozen=True)
class ChainCase:
    """An autoencoder that is a chain of layers, and images for it."""

    image_shape: tuple[int, int, int]
    samples: int
    encoder: tuple[Module, ...]
    code: tuple[int, int] | None
    decoder: tuple[Module, ...]
    seed: int

    @property
    def loss(self) -> Loss:
        return squared_error if self.code is None else evidence_bound

    def model(self, dtype: torch.dtype) -> Autoencoder:
        """With random weights and statistics, in eval mode."""
        encoder, decoder = (
            [module(**arguments) for module, arguments in part] for part in (self.encoder, self.decoder)
        )
        model = Autoencoder(encoder, self.code, decoder)
        generator = torch.Generator().manual_seed(self.seed)
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                fan_in = max(1, tensor[0].numel()) if tensor.dim() else 1
                numbers = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) / fan_in**0.5
                tensor.copy_(numbers.square() + 0.5 if name.endswith("running_var") else numbers)
        return model.to(dtype).eval()

    def images(self, dtype: torch.dtype) -> Tensor:
        """In [0, 1], or all of 0 to 255 for uint8."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (self.samples, *self.image_shape)
        if dtype == torch.uint8:
            return torch.randint(0, 256, shape, generator=generator, dtype=dtype)
        return torch.rand(shape, generator=generator, dtype=dtype)

    def references(self, model: Autoencoder) -> dict[str, Tensor]:
        """Of about half of the weights that may have one, not in the order of the layers."""
        generator = torch.Generator().manual_seed(self.seed)
        weights = {
            f"{name}.weight": module.weight
            for name, module in model.named_modules()
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and "." in name
        }
        names = [list(weights)[i] for i in torch.randperm(len(weights), generator=generator).tolist()]
        return {
            name: torch.randn(weights[name].shape, generator=generator, dtype=weights[name].dtype)
            for name in names[: (len(names) + 1) // 2]
        }


@st.composite
def chain_cases(draw: st.DrawFn, samples: st.SearchStrategy[int] | None = None) -> ChainCase:
    """Convolutions of all settings, normalisation, upsampling, linear layers and activations; with and without code."""
    image_shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 8)))
    modules, shape = draw(_parts(image_shape, most=4))
    encoder, code = modules, None
    if draw(st.booleans()):
        encoder = [*encoder, (nn.Flatten, {})]
        code = (math.prod(shape), draw(st.integers(1, 5)))
        shape = (code[1],)
    decoder, shape = draw(_parts(shape, most=4))
    decoder += draw(_last_part(shape, image_shape))
    if code is not None or draw(st.booleans()):
        decoder.append((nn.Sigmoid, {}))
    return ChainCase(
        image_shape,
        draw(samples if samples is not None else st.sampled_from([0, 1, 2, 9])),
        tuple(encoder),
        code,
        tuple(decoder),
        draw(st.integers(0, 2**16)),
    )


_Shape = tuple[int, ...]
_Part = tuple[list[Module], _Shape]


@st.composite
def _parts(draw: st.DrawFn, shape: _Shape, most: int) -> _Part:
    """Up to `most` layers, each with an activation or none, and the shape that they lead to."""
    modules: list[Module] = []
    for _ in range(draw(st.integers(0, most))):
        part = draw(st.sampled_from(_IMAGE_PARTS if len(shape) == 3 else _FLAT_PARTS))
        added, shape = draw(part(shape))
        modules += [*added, *draw(st.sampled_from(_ACTIVATIONS))]
    return modules, shape


_ACTIVATIONS: list[list[Module]] = [
    [],
    [(nn.ReLU, {})],
    [(nn.LeakyReLU, {"negative_slope": 0.2})],
    [(nn.ELU, {"alpha": 0.7})],
    [(nn.GELU, {})],
    [(nn.GELU, {"approximate": "tanh"})],
    [(nn.Sigmoid, {})],
    [(nn.Tanh, {})],
    [(nn.Dropout, {}), (nn.Identity, {})],
]


@st.composite
def _convolution_part(draw: st.DrawFn, shape: _Shape) -> _Part:
    kernel, dilation, stride = (draw(st.tuples(st.integers(1, most), st.integers(1, most))) for most in (3, 2, 2))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding = [draw(st.integers(max(0, -((size - r) // 2)), r)) for size, r in zip(shape[1:], reach, strict=True)]
    sizes = [(size + 2 * p - r) // s + 1 for size, p, r, s in zip(shape[1:], padding, reach, stride, strict=True)]
    settings = {"kernel_size": kernel, "stride": stride, "padding": tuple(padding), "dilation": dilation}
    return draw(_grouped(nn.Conv2d, shape[0], sizes, settings))


@st.composite
def _transposed_part(draw: st.DrawFn, shape: _Shape) -> _Part:
    kernel, dilation, stride = (draw(st.tuples(st.integers(1, most), st.integers(1, most))) for most in (4, 2, 2))
    extra = [draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)]
    unpadded = [
        (size - 1) * s + d * (k - 1) + 1 + e
        for size, s, d, k, e in zip(shape[1:], stride, dilation, kernel, extra, strict=True)
    ]
    # What is not too much for the size, and padded away where the image grew large.
    padding = [draw(st.integers(min(max(0, size - 10) // 2, (size - 1) // 2), (size - 1) // 2)) for size in unpadded]
    sizes = [size - 2 * p for size, p in zip(unpadded, padding, strict=True)]
    settings = {"kernel_size": kernel, "stride": stride, "padding": tuple(padding), "dilation": dilation}
    return draw(_grouped(nn.ConvTranspose2d, shape[0], sizes, settings | {"output_padding": tuple(extra)}))


@st.composite
def _grouped(draw: st.DrawFn, module: type[nn.Module], channels: int, sizes: list[int], settings: dict) -> _Part:
    groups = draw(st.sampled_from([number for number in (1, 2, 3) if channels % number == 0]))
    made = groups * draw(st.integers(1, 4))
    arguments = {"in_channels": channels, "out_channels": made, "groups": groups, "bias": draw(st.booleans())}
    return [(module, arguments | settings)], (made, *sizes)


@st.composite
def _norm_part(draw: st.DrawFn, shape: _Shape) -> _Part:
    module = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return [(module, {"num_features": shape[0], "affine": draw(st.booleans()), "eps": 1e-3})], shape


@st.composite
def _upsampling_part(draw: st.DrawFn, shape: _Shape) -> _Part:
    factors = draw(st.tuples(*(st.integers(1, max(1, 12 // size)) for size in shape[1:])))
    sizes = [size * factor for size, factor in zip(shape[1:], factors, strict=True)]
    return [(nn.Upsample, {"size": tuple(sizes)})], (shape[0], *sizes)


@st.composite
def _linear_part(draw: st.DrawFn, shape: _Shape) -> _Part:
    features = draw(st.integers(1, 12))
    arguments = {"in_features": math.prod(shape), "out_features": features, "bias": draw(st.booleans())}
    flatten: list[Module] = [(nn.Flatten, {})] if len(shape) == 3 else []
    return [*flatten, (nn.Linear, arguments)], (features,)


@st.composite
def _unflatten_part(draw: st.DrawFn, shape: _Shape) -> _Part:
    columns = draw(st.sampled_from([number for number in range(1, 5) if shape[0] % number == 0]))
    channels = draw(st.sampled_from([number for number in range(1, 5) if shape[0] // columns % number == 0]))
    made = (channels, shape[0] // columns // channels, columns)
    return [(nn.Unflatten, {"dim": 1, "unflattened_size": made})], made


@st.composite
def _last_part(draw: st.DrawFn, shape: _Shape, image_shape: _Shape) -> list[Module]:
    """What leads to an image."""
    if shape[1:] == image_shape[1:] and draw(st.booleans()):
        return [
            (nn.Conv2d, {"in_channels": shape[0], "out_channels": image_shape[0], "kernel_size": 3, "padding": "same"})
        ]
    linear = {"in_features": math.prod(shape), "out_features": math.prod(image_shape)}
    return [(nn.Flatten, {}), (nn.Linear, linear), (nn.Unflatten, {"dim": 1, "unflattened_size": image_shape})]


_IMAGE_PARTS = [_convolution_part, _convolution_part, _transposed_part, _norm_part, _upsampling_part, _linear_part]
_FLAT_PARTS = [_linear_part, _norm_part, _unflatten_part]
