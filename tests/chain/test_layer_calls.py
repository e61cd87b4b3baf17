from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn import functional

from gradcon_ext.chain.chain import LayerKind, NotAChain, Source
from gradcon_ext.chain.layer_calls import LayerCall, StateNames, is_reshape, is_unchanged, layer_call, name_of
from support.strategies import ConvCase, conv_cases


def call_of(function: Any, *args: Any, **kwargs: Any) -> LayerCall:
    """The layer that a call is; all tensors but the first are parameters."""
    names = StateNames({f"p{index}": value for index, value in enumerate(args) if index and isinstance(value, Tensor)})
    call = layer_call(function, args, kwargs, names)
    assert call is not None
    return call


@settings(max_examples=100)
@given(case=conv_cases().filter(lambda case: len(case.size) == 2 and case.samples))
def test_the_size_of_a_convolution_is_that_of_torch(case: ConvCase) -> None:
    input, grad_output, weight = case.tensors(torch.float32)
    stride, padding, dilation, groups, transposed = case.arguments
    if transposed:
        settings = (stride, padding, case.output_padding, groups, dilation)
        call = call_of(functional.conv_transpose2d, input, weight, None, *settings)
    else:
        call = call_of(functional.conv2d, input, weight, None, stride, padding, dilation, groups)
    assert call.size == tuple(grad_output.shape)
    assert call.kind == (LayerKind.CONV_TRANSPOSED if transposed else LayerKind.CONV)
    assert (call.stride, call.padding, call.dilation, call.groups) == (stride, padding, dilation, groups)
    assert call.parameters == (Source("tensor", "p1"),)


def test_one_number_stands_for_both_axes() -> None:
    call = call_of(functional.conv2d, torch.zeros(2, 1, 5, 5), torch.zeros(3, 1, 2, 2), stride=2, padding=(1,))
    assert (call.stride, call.padding, call.dilation) == ((2, 2), (1, 1), (1, 1))


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_in_words(padding: str) -> None:
    layer = nn.Conv2d(1, 1, (3, 5), padding=padding, dilation=(2, 1))
    images = torch.zeros(2, 1, 9, 9)
    call = call_of(functional.conv2d, images, layer.weight, layer.bias, 1, padding, (2, 1))
    assert call.size == tuple(layer(images).shape)
    assert call.padding == ((2, 2) if padding == "same" else (0, 0))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (7, 41), (1, 49)])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_repeated_pixels(rows: int, columns: int, mode: str) -> None:
    images = torch.zeros(2, 3, 5, 6)
    for scaling in ({"size": (5 * rows, 6 * columns)}, {"scale_factor": (float(rows), float(columns))}):
        try:
            call = call_of(functional.interpolate, images, mode=mode, **scaling)
        except NotAChain:  # The scale's rounding chose a neighbour.
            pixels = torch.arange(30.0).view(1, 1, 5, 6)
            repeated = pixels.repeat_interleave(rows, 2).repeat_interleave(columns, 3)
            assert not torch.equal(functional.interpolate(pixels, mode=mode, **scaling), repeated)
        else:
            assert (call.kind, call.size) == (LayerKind.UPSAMPLE, (2, 3, 5 * rows, 6 * columns))


@pytest.mark.parametrize(
    "settings", [{"scale_factor": 0.5}, {"size": (5, 9)}, {"scale_factor": 2, "mode": "bicubic"}, {"size": 5}]
)
def test_other_interpolations_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(NotAChain, match="repeating each pixel"):
        call_of(functional.interpolate, torch.zeros(1, 1, 4, 6), **settings)


def test_a_batch_norm_is_known_by_the_names_of_its_tensors() -> None:
    norm = nn.BatchNorm1d(3, eps=0.1)
    tensors = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    names = StateNames(nn.Sequential(nn.ReLU(), norm).state_dict(keep_vars=True))
    input = torch.zeros(2, 3)
    call = layer_call(functional.batch_norm, (input, *tensors), {"eps": 0.1}, names)
    assert call == LayerCall(LayerKind.AFFINE, (2, 3), (Source("scale", "1", 0.1), Source("shift", "1", 0.1)))
    alone = StateNames(norm.state_dict(keep_vars=True))
    call = layer_call(functional.batch_norm, (input, *tensors[:2]), {}, alone)
    assert call == LayerCall(LayerKind.AFFINE, (2, 3), (Source("scale", "", 1e-5), Source("shift", "", 1e-5)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(3)}, "one BatchNorm"),
        ({"running_mean": torch.zeros(3)}, "one BatchNorm"),
        ({"training": True}, "over the batch"),
        ({"running_var": None}, "over the batch"),
    ],
)
def test_another_batch_norm_is_refused(change: dict[str, Any], message: str) -> None:
    norm = nn.BatchNorm1d(3)
    names = StateNames(nn.Sequential(norm).state_dict(keep_vars=True))
    arguments = {"running_mean": norm.running_mean, "running_var": norm.running_var} | change
    with pytest.raises(NotAChain, match=message):
        layer_call(functional.batch_norm, (torch.zeros(2, 3),), arguments, names)


def test_a_shared_tensor_has_the_first_of_its_names() -> None:
    weight, input = torch.zeros(2, 3), torch.zeros(1, 3)
    call = layer_call(functional.linear, (input, weight), {}, StateNames({"a": weight, "b": weight}))
    assert call == LayerCall(LayerKind.LINEAR, (1, 2), (Source("tensor", "a"),))


def test_other_functions_are_no_layers() -> None:
    input = torch.zeros(2, 3)
    assert layer_call(torch.add, (input, input), {}, StateNames({})) is None
    assert is_reshape(Tensor.view)
    assert not is_reshape(Tensor.transpose)
    assert is_unchanged(functional.dropout, (input, 0.5, False), {})
    assert not is_unchanged(functional.dropout, (input,), {})
    assert not is_unchanged(Tensor.abs, (input,), {})
    assert [name_of(function) for function in (torch.add, Tensor.add_, Tensor.data.__get__)] == ["add", "add_", "data"]
