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
from strategies import ChainCase, chain_cases

import gradcon_ext.chain
from gradcon_ext.chain import INTEGERS_PER_LAYER, Chain, Kind, Layer, Source
from gradcon_ext.tracing import trace_chain


def variational() -> Chain:
    """A convolution, a normalisation, a bottleneck, a linear layer and an upsampling."""
    layers = (
        Layer(Kind.CONV, (2, 3, 3), 0, 1, stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=1),
        Layer(Kind.AFFINE, (2, 3, 3), 2, 3),
        Layer(Kind.LEAKY_RELU, (2, 3, 3), constant=0.2),
        Layer(Kind.BOTTLENECK, (4, 1, 1), 4, 5),
        Layer(Kind.LINEAR, (12, 1, 1), 8, reference=0),
        Layer(Kind.RESHAPE, (1, 2, 6)),
        Layer(Kind.UPSAMPLE, (1, 6, 6)),
        Layer(Kind.SIGMOID, (1, 6, 6)),
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
    assert len(chain.program) == INTEGERS_PER_LAYER * len(chain.layers)
    assert chain.program[:14] == [0, 0, 1, -1, 2, 3, 3, 2, 1, 1, 0, 1, 2, 1]
    assert chain.program[4 * 14 : 5 * 14] == [2, 8, -1, 0, 12, 1, 1, 1, 1, 0, 0, 1, 1, 1]
    assert chain.constants == [0, 0, 0.2, 0, 0, 0, 0, 0]


def test_the_numbers_of_the_kinds_stay_as_they_are() -> None:
    names = "CONV CONV_TRANSPOSED LINEAR BOTTLENECK AFFINE UPSAMPLE RESHAPE "
    names += "RELU LEAKY_RELU ELU GELU GELU_TANH SIGMOID TANH"
    assert [kind.name for kind in Kind] == names.split()
    assert [int(kind) for kind in Kind] == list(range(14))


@settings(max_examples=50, deadline=None)
@given(case=chain_cases())
def test_a_chain_comes_back_from_json(case: ChainCase) -> None:
    model = case.model(torch.float32)
    chain = trace_chain(model, list(case.references(model)), case.loss, case.image_shape)
    assert Chain.from_json(json.loads(json.dumps(chain.to_json()))) == chain


def test_imports_nothing_but_the_standard_library() -> None:
    folder = str(Path(gradcon_ext.chain.__file__).parent)
    code = f"import sys; sys.path.append({folder!r}); import chain; assert not {{'torch', 'numpy'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-S", "-c", code], check=True)


@pytest.mark.parametrize(
    ("position", "change", "message"),
    [
        (0, {"shape": (2, 0, 3)}, "layer 0 (conv): expected three sizes of at least 1"),
        (0, {"weight": -1}, "weight -1 and bias 1 do not fit its kind"),
        (0, {"weight": 9}, "expected each of 9 parameters to be used once"),
        (0, {"weight": 1}, "expected each of 9 parameters to be used once"),
        (0, {"bias": -2}, "weight 0 and bias -2"),
        (0, {"stride": (0, 1)}, "stride, dilation and groups of at least 1"),
        (0, {"groups": 0}, "stride, dilation and groups of at least 1"),
        (0, {"padding": (0, -1)}, "no negative padding"),
        (0, {"constant": 0.5}, "constant 0.5 does not fit its kind"),
        (0, {"reference": 0}, "expected each of 1 references once"),
        (1, {"bias": -1}, "expected a shift"),
        (1, {"weight": 3, "bias": 2}, "expected parameters ['scale', 'shift']"),
        (1, {"shape": (2, 3, 4)}, "does not fit its input of shape (2, 3, 3)"),
        (2, {"constant": -0.2}, "constant -0.2 does not fit its kind"),
        (2, {"constant": float("nan")}, "constant nan does not fit its kind"),
        (2, {"stride": (2, 2)}, "only a convolution has a stride"),
        (2, {"weight": 0}, "weight 0 and bias -1 do not fit its kind"),
        (3, {"bias": 6}, "expected its bias behind its weight"),
        (3, {"shape": (2, 2, 1)}, "does not fit its input"),
        (3, {"reference": 0}, "reference 0 does not fit its kind"),
        (3, {"kind": Kind.LINEAR}, "expected each of 9 parameters to be used once"),
        (4, {"reference": -1}, "expected each of 1 references once"),
        (4, {"reference": -2}, "reference -2 does not fit its kind"),
        (5, {"shape": (1, 2, 5)}, "does not fit its input of shape (12, 1, 1)"),
        (6, {"shape": (1, 5, 6)}, "does not fit its input of shape (1, 2, 6)"),
        (6, {"shape": (2, 6, 6)}, "does not fit its input of shape (1, 2, 6)"),
    ],
)
def test_layers_that_do_not_fit_are_an_error(position: int, change: dict[str, Any], message: str) -> None:
    chain = variational()
    layers = list(chain.layers)
    layers[position] = replace(layers[position], **change)
    with pytest.raises(ValueError) as error:
        replace(chain, layers=tuple(layers))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_shape": (1, 6, 7)}, "the reconstruction has shape (1, 6, 6), the image (1, 6, 7)"),
        ({"image_shape": (1, 6)}, "images: expected three sizes"),
        ({"loss": "squared_error"}, "1 bottlenecks do not fit the loss squared_error"),
        ({"loss": "hinge"}, "expected a loss in ['squared_error', 'evidence_bound'], got 'hinge'"),
        ({"references": ()}, "expected each of 0 references once"),
        ({"parameters": ()}, "expected each of 0 parameters to be used once"),
        ({"parameters": (Source("mean", "norm"),) * 9}, "expected a tensor, or a scale or shift"),
        ({"parameters": (Source("scale", "norm", -1.0),) * 9}, "finite eps of at least 0"),
    ],
)
def test_a_chain_that_does_not_fit_is_an_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(variational(), **change)
    assert message in str(error.value)


def layer(change: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry["layers"][0].update(change)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda entry: entry.pop("loss"), "is missing: .*'loss'"),
        (lambda entry: entry.update(version=2), "expected an object with entries among"),
        (lambda entry: entry.update(layers={}), "expected a list, got"),
        (lambda entry: entry.update(layers=[3]), "expected an object with entries among .*, got 3"),
        (lambda entry: entry.update(references="ab"), "expected a list, got 'ab'"),
        (lambda entry: entry.update(references=[1]), "expected text, got 1"),
        (lambda entry: entry["parameters"].append({"kind": "tensor"}), "is missing: .*'name'"),
        (lambda entry: entry["parameters"][2].update(eps="1"), "expected a number, got '1'"),
        (layer({"kind": "conv3d"}), "expected a kind in .*, got 'conv3d'"),
        (layer({"kind": 0}), "expected a kind in .*, got 0"),
        (layer({"shape": [2, 3]}), "expected a list of 3, got"),
        (layer({"stride": 2}), "expected a list of 2, got 2"),
        (layer({"groups": True}), "expected a whole number below 2.31, got True"),
        (layer({"weight": 0.0}), "expected a whole number"),
        (layer({"padding": [2**31, 0]}), "expected a whole number below 2.31, got 2147483648"),
        (layer({"constant": None}), "expected a number, got None"),
        (layer({"colour": 1}), "expected an object with entries among"),
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
