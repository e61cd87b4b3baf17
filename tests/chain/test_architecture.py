from __future__ import annotations

import json
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcon_ext.chain.architecture import Architecture
from gradcon_ext.chain.chain import Chain
from gradcon_ext.chain.tracing import trace_chain
from gradcon_ext.losses import loss_of
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder, FeatureAutoencoder, build

SIZES = st.integers(1, 40)


@given(
    model_type=st.sampled_from([ConvAutoencoder, ConvVariationalAutoencoder, FeatureAutoencoder]),
    channels=st.integers(1, 4),
    size=st.tuples(SIZES, SIZES),
    width=st.integers(1, 3),
    depth=st.integers(1, 6),
    data=st.data(),
)
@settings(max_examples=60)
def test_it_is_what_tracing_finds_in_the_model(model_type, channels, size, width, depth, data):
    arguments = {"channels": channels, "size": size, "width": width}
    if model_type is not FeatureAutoencoder:
        arguments["depth"] = depth
    with torch.device("meta"):
        traced = model_type(**arguments)
    model = model_type(**arguments)
    architecture = Architecture.read(json.loads(json.dumps(model.architecture)))
    assert {name: tuple(tensor.shape) for name, tensor in traced.state_dict().items()} == architecture.shapes
    assert model.latent_shape == architecture.latent_shape
    weights = [name for name in architecture.shapes if name.endswith("weight") and name[:4] not in ("mean", "log_")]
    references = data.draw(st.lists(st.sampled_from(weights), min_size=1, unique=True))
    assert architecture.chain(references) == trace_chain(model, references, loss_of(model), (channels, *size))


@pytest.mark.parametrize("reference", ["mean.weight", "log_variance.weight", "encoder.0.bias", "encoder.1.weight", 3])
def test_a_weight_that_cannot_be_constrained_is_refused(reference):
    with pytest.raises(ValueError, match="references"):
        Architecture("ConvVariationalAutoencoder", 1, (8, 8), 2).chain([reference])


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 10**9},
        {"width": 10**5},
        {"width": 10**4000},
        {"channels": 10**9},
        {"name": "ConvVariationalAutoencoder", "size": 10**9},
        {"name": "ConvVariationalAutoencoder", "size": [1, 10**5]},
        {"width": 0},
        {"width": True},
        {"width": 2.0},
        {"size": [8]},
        {"size": "8x8"},
        {"size": [8, None]},
        {"name": ["ConvAutoencoder"]},
        {"name": "Perceptron"},
        {"depth": 0},
        {"depth": 17},
        {"depth": 10**30},
        {"name": "FeatureAutoencoder", "depth": 4},
        {"name": "FeatureAutoencoder", "size": [10**9, 8]},
    ],
)
def test_what_no_memory_would_hold_is_refused_at_once(changes):
    begun = time.process_time()
    with pytest.raises(ValueError):
        build({"name": "ConvAutoencoder", "channels": 1, "size": 8, "width": 2, **changes})
    assert time.process_time() - begun < 1


def chain_of(layers, image_shape=(1, 8, 8)):
    entry = {"image_shape": image_shape, "layers": layers, "parameters": [], "references": [], "loss": "squared_error"}
    return Chain.from_json(entry)


@pytest.mark.parametrize("size", [2**20, 2**31 - 1, 2**40, 10**30])
def test_a_chain_that_no_memory_would_hold_is_refused(size):
    layers = [{"kind": "upsample", "shape": [1, 8 * size, 8 * size]}, {"kind": "relu", "shape": [1, 8, 8]}]
    with pytest.raises(ValueError):
        chain_of(layers)
    with pytest.raises(ValueError):
        chain_of([], (1, size, size))


def test_a_chain_of_more_layers_than_anybody_has_is_refused():
    with pytest.raises(ValueError, match="4096 at most, got 262144"):
        chain_of([{"kind": "relu", "shape": [1, 8, 8]}] * 2**18)
