from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings

import gradcon_ext.chain.chain
from gradcon_ext.chain.chain import LAYER_FIELDS, Chain, Layer, LayerKind, Source
from gradcon_ext.chain.tracing import trace_chain
from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder
from support.strategies import ChainCase, chain_cases


def variational() -> Chain:
    """A convolution, a normalisation, a bottleneck, a linear layer and an upsampling."""
    layers = (
        Layer(LayerKind.CONV, (2, 3, 3), 0, 1, stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=1),
        Layer(LayerKind.AFFINE, (2, 3, 3), 2, 3),
        Layer(LayerKind.LEAKY_RELU, (2, 3, 3), constant=0.2),
        Layer(LayerKind.BOTTLENECK, (4, 1, 1), 4, 5),
        Layer(LayerKind.LINEAR, (12, 1, 1), 8, reference=0),
        Layer(LayerKind.RESHAPE, (1, 2, 6)),
        Layer(LayerKind.UPSAMPLE, (1, 6, 6)),
        Layer(LayerKind.SIGMOID, (1, 6, 6)),
    )
    names = ["mean.weight", "mean.bias", "log_variance.weight", "log_variance.bias", "decoder.weight"]
    parameters = (
        *(Source("tensor", name) for name in ("conv.weight", "conv.bias")),
        *(Source(kind, "norm", 1e-5) for kind in ("scale", "shift")),
        *(Source("tensor", name) for name in names),
    )
    return Chain((1, 6, 6), layers, parameters, ("decoder.weight",), "evidence_bound")


def test_the_program_has_the_integers_of_every_layer() -> None:
    chain = variational()
    assert len(chain.encoded.program) == len(LAYER_FIELDS) * len(chain.layers)
    assert chain.encoded.program[:14] == (0, 0, 1, -1, 2, 3, 3, 2, 1, 1, 0, 1, 2, 1)
    assert chain.encoded.program[4 * 14 : 5 * 14] == (2, 8, -1, 0, 12, 1, 1, 1, 1, 0, 0, 1, 1, 1)
    assert chain.encoded.constants == (0, 0, 0.2, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(("first", "size"), [("encoder.0.weight", 3 * 8 * 8), ("decoder.0.weight", 4 * 2 * 2)])
def test_a_code_is_what_the_first_constrained_layer_is_given(first: str, size: int) -> None:
    names = [first, "decoder.2.weight"]
    assert trace_chain(ConvAutoencoder(3, 8, width=2), names, squared_error, (3, 8, 8)).code_size == size


def test_the_numbers_of_the_kinds_stay_as_they_are() -> None:
    names = "CONV CONV_TRANSPOSED LINEAR BOTTLENECK AFFINE UPSAMPLE RESHAPE "
    names += "RELU LEAKY_RELU ELU GELU GELU_TANH SIGMOID TANH"
    assert [kind.name for kind in LayerKind] == names.split()
    assert [int(kind) for kind in LayerKind] == list(range(14))


@settings(max_examples=50)
@given(case=chain_cases())
def test_a_chain_comes_back_from_json(case: ChainCase) -> None:
    model = case.model(torch.float32)
    chain = trace_chain(model, list(case.references(model)), case.loss, case.image_shape)
    assert Chain.from_json(json.loads(json.dumps(chain.to_json()))) == chain


def test_imports_nothing_but_the_standard_library() -> None:
    folder = str(Path(gradcon_ext.__file__).parents[1])
    code = f"import sys; sys.path.append({folder!r}); import gradcon_ext.chain.chain; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


@pytest.mark.parametrize(
    ("position", "change", "message"),
    [
        (0, {"shape": (2, 0, 3)}, r"layer 0 \(conv\).*sizes"),
        (0, {"weight": -1}, "weight -1 .*bias 1 "),
        (0, {"weight": 9}, "9 parameters.*once"),
        (0, {"weight": 1}, "9 parameters.*once"),
        (0, {"bias": -2}, "weight 0 .*bias -2 "),
        (0, {"stride": (0, 1)}, "stride, dilation and groups"),
        (0, {"groups": 0}, "stride, dilation and groups"),
        (0, {"padding": (0, -1)}, "negative padding"),
        (0, {"constant": 0.5}, "constant 0.5 "),
        (0, {"reference": 0}, "1 references"),
        (1, {"bias": -1}, "a shift"),
        (1, {"weight": 3, "bias": 2}, r"\['scale', 'shift'\]"),
        (1, {"shape": (2, 3, 4)}, r"input.*\(2, 3, 3\)"),
        (2, {"constant": -0.2}, "constant -0.2 "),
        (2, {"constant": float("nan")}, "constant nan "),
        (2, {"stride": (2, 2)}, "convolution.*stride"),
        (2, {"weight": 0}, "weight 0 .*bias -1 "),
        (3, {"bias": 6}, "bias behind its weight"),
        (3, {"shape": (2, 2, 1)}, "not fit its input"),
        (3, {"reference": 0}, "reference 0 "),
        (3, {"kind": LayerKind.LINEAR}, "9 parameters.*once"),
        (4, {"reference": -1}, "1 references"),
        (4, {"reference": -2}, "reference -2 "),
        (5, {"shape": (1, 2, 5)}, r"input.*\(12, 1, 1\)"),
        (6, {"shape": (1, 5, 6)}, r"input.*\(1, 2, 6\)"),
        (6, {"shape": (2, 6, 6)}, r"input.*\(1, 2, 6\)"),
    ],
)
def test_layers_that_do_not_fit_are_an_error(position: int, change: dict[str, Any], message: str) -> None:
    chain = variational()
    layers = list(chain.layers)
    layers[position] = replace(layers[position], **change)
    with pytest.raises(ValueError, match=message):
        replace(chain, layers=tuple(layers))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_shape": (1, 6, 7)}, r"\(1, 6, 6\).*\(1, 6, 7\)"),
        ({"image_shape": (1, 6)}, "images: .*sizes"),
        ({"loss": "squared_error"}, "1 bottlenecks.*squared_error"),
        ({"loss": "hinge"}, "'squared_error', 'evidence_bound'.*'hinge'"),
        ({"references": ()}, "0 references"),
        ({"parameters": ()}, "0 parameters.*once"),
        ({"parameters": (Source("mean", "norm"),) * 9}, "tensor.*scale.*shift"),
        ({"parameters": (Source("scale", "norm", -1.0),) * 9}, "finite eps"),
    ],
)
def test_a_chain_that_does_not_fit_is_an_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(variational(), **change)


def layer(change: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry["layers"][0].update(change)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda entry: entry.pop("loss"), "missing.*'loss'"),
        (lambda entry: entry.update(version=2), "entries among .*'loss'.*, got {"),
        (lambda entry: entry.update(layers={}), "a list, got {}"),
        (lambda entry: entry.update(layers=[3]), "entries among .* 3$"),
        (lambda entry: entry.update(references="ab"), "a list.* 'ab'"),
        (lambda entry: entry.update(references=[1]), "text.* 1$"),
        (lambda entry: entry["parameters"].append({"kind": "tensor"}), "missing.*'name'"),
        (lambda entry: entry["parameters"][2].update(eps="1"), "number.* '1'"),
        (layer({"kind": "conv3d"}), "kind.* 'conv3d'"),
        (layer({"kind": 0}), "kind.* 0$"),
        (layer({"shape": [2, 3]}), r"list of 3.*\[2, 3\]"),
        (layer({"stride": 2}), "list of 2.* 2$"),
        (layer({"groups": True}), "whole number.* True"),
        (layer({"weight": 0.0}), "whole number.* 0.0"),
        (layer({"padding": [2**31, 0]}), "whole number.* 2147483648"),
        (layer({"constant": None}), "number.* None"),
        (layer({"colour": 1}), "entries among .*'colour'"),
    ],
)
def test_a_damaged_entry_is_an_error(harm: Callable[[dict[str, Any]], Any], message: str) -> None:
    entry = variational().to_json()
    harm(entry)
    with pytest.raises(ValueError, match=message):
        Chain.from_json(entry)


@pytest.mark.parametrize("entry", [None, 3, "chain", [], {}])
def test_what_is_no_chain_is_an_error(entry: object) -> None:
    with pytest.raises(ValueError):
        Chain.from_json(entry)
