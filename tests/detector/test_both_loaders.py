"""What a file says of itself is believed alike with torch and without."""

from __future__ import annotations

import copy
import time

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gradcon_ext
from gradcon_ext import runtime
from gradcon_ext.detector.detector import Detector
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.storage.tensor_file import read_tensors, write_tensors
from support.memory import growth

MODELS = {
    "CAE": lambda: ConvAutoencoder(1, 8, width=2),
    "VAE": lambda: ConvVariationalAutoencoder(3, (9, 6), width=2),
    "float64": lambda: ConvAutoencoder(1, 9, width=2).double(),
    "balanced": lambda: ConvAutoencoder(1, 8, width=2),
    "calibrated": lambda: ConvAutoencoder(1, 8, width=2),
}


def save(path, model, with_balance=False, with_calibration=False):
    weights = {name: weight for name, weight in model.named_parameters() if name.startswith("decoder")}
    references = {name: torch.randn_like(weight) for name, weight in weights.items() if weight.dim() > 1}
    preprocessing = {"channels": model.channels, "size": list(model.size)}
    detector = Detector(model.eval(), references, 3, 0.2, preprocessing)
    if with_balance:
        images = torch.rand(9, model.channels, *model.size)
        detector = gradcon_ext.balanced(detector, images[:6], images[6:])
    if with_calibration:
        detector = gradcon_ext.calibrated(detector, torch.rand(7, model.channels, *model.size), "balanced", 0.2)
    detector.save(path)


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """Tensors and facts of the files of `MODELS`."""
    path = tmp_path_factory.mktemp("files") / "detector.safetensors"
    torch.manual_seed(0)
    made = {}
    for name, build in MODELS.items():
        save(path, build(), name in ("balanced", "calibrated"), name == "calibrated")
        made[name] = read_tensors(path, "detector", 1)
    return made


def write(path, tensors, facts):
    facts = dict(facts)
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)


def loaded(load, path):
    """A scorer, or None where the file is refused, which has to be at once."""
    begun = time.process_time()
    try:
        return load(path)
    except ValueError as error:
        assert str(path) in str(error)
        assert time.process_time() - begun < 2
        return None


def compare(path, custom):
    with_torch = loaded(lambda path: gradcon_ext.Scorer.load(path, model=custom), path)
    without = loaded(lambda path: runtime.Scorer.load(path, threads=1), path)
    assert (with_torch is None) == (without is None), path
    if without is not None:
        images = np.random.default_rng(0).integers(0, 256, (5, *without.image_shape), np.uint8)
        expected = with_torch.score(images)
        given = without.score(images)
        assert (given.balanced is None) == (expected.balanced is None)
        for name in expected._fields[:6] if without.balance else expected._fields[:4]:
            np.testing.assert_allclose(getattr(given, name), getattr(expected, name), 1e-5, 1e-6)
        if without.balance:  # counted in deviations, which may be small
            np.testing.assert_allclose(given.balanced, expected.balanced, 1e-3, 1e-3)
        assert (given.p_value is None) == (expected.p_value is None) == (without.calibration is None)
        if without.calibration is not None:
            assert without.part == with_torch.part
            one = 1 / (without.calibration.count + 1)  # a last bit may be a rank
            np.testing.assert_allclose(given.p_value, expected.p_value, 0, one * 1.001)
    return without is not None


def places(entry, place=()):
    """The places of all numbers, texts and lists in JSON facts."""
    yield place
    items = entry.items() if isinstance(entry, dict) else enumerate(entry) if isinstance(entry, list) else ()
    for key, value in items:
        yield from places(value, (*place, key))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 12),
    st.sampled_from([2**31, 2**63, 10**9, 10**30, 10**400, -1.5, 0.5, 1e300, float("nan"), float("inf")]),
    st.sampled_from(["", "conv", "linear", "relu", "squared_error", "evidence_bound", "ConvAutoencoder", "x"]),
    st.sampled_from(["balanced", "gradient", "latent"]),
    st.sampled_from(["ConvVariationalAutoencoder", "decoder.2.weight", "encoder.0.weight", "mean.weight"]),
    st.just([]),
    st.just({}),
)
CHANGED = (
    "architecture",
    "layers",
    "count",
    "alpha",
    "preprocessing",
    "training",
    "chain",
    "balance",
    "part",
    "calibration",
    "golden",
)


# None of it is drawn from the facts: hypothesis wants what can be drawn to depend on nothing but what was drawn.
CHANGES = st.lists(st.tuples(st.integers(0, 2**16), st.booleans(), VALUES), min_size=1, max_size=2)


def change(facts, number, replaced, value):
    """Replace what is in one of the places of facts by a value, or delete it."""
    every = [place for place in places(facts) if place and place[0] in CHANGED]
    *way, last = every[number % len(every)]
    holder = facts
    for key in way:
        holder = holder[key]
    if replaced:
        holder[last] = value
    else:
        del holder[last]


@pytest.mark.parametrize("name", MODELS)
@given(changes=CHANGES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_fact_is_refused_by_both_or_by_neither(contents, tmp_path, name, changes):
    tensors, facts = copy.deepcopy(contents[name])
    for one in changes:
        change(facts, *one)
    path = tmp_path / "detector.safetensors"
    write(path, tensors, facts)
    compare(path, MODELS[name]() if facts.get("architecture", 0) is None else None)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("change", ["none", "no chain", "no architecture", "another tensor", "bfloat16", "one float64"])
def test_both_read_the_same_files(contents, tmp_path, name, change):
    tensors, facts = copy.deepcopy(contents[name])
    path = tmp_path / "detector.safetensors"
    if change == "no chain":
        facts["chain"] = None
    if change == "no architecture":
        facts["architecture"] = None
    if change == "another tensor":
        tensors["model.other"] = torch.zeros(2)
    if change == "bfloat16":
        tensors = {key: tensor.bfloat16() for key, tensor in tensors.items()}
    if change == "one float64":
        key = "model.encoder.0.bias"
        tensors[key] = tensors[key].float() if name == "float64" else tensors[key].double()
    write(path, tensors, facts)
    read = compare(path, MODELS[name]() if change == "no architecture" else None)
    assert read == (change in ("none", "no chain", "no architecture"))


@pytest.mark.parametrize("load", [gradcon_ext.Scorer.load, runtime.Scorer.load])
def test_a_balance_of_other_codes_is_refused(contents, tmp_path, load):
    tensors, facts = copy.deepcopy(contents["balanced"])
    shorter = {name: tensor[:-1] for name, tensor in tensors.items() if name.startswith("balance.")}
    write(tmp_path / "detector.safetensors", tensors | shorter, facts)
    size = len(tensors["balance.code.mean"])
    with pytest.raises(ValueError, match=rf"codes of \({size - 1}, {size - 1}\) numbers; the model's have {size}"):
        load(tmp_path)


def test_a_model_whose_layers_were_changed_is_not_rebuilt_without_them(tmp_path):
    path = tmp_path / "detector.safetensors"
    model = ConvAutoencoder(1, 8, width=2)
    model.encoder[1] = torch.nn.ELU()
    save(path, model)
    with pytest.raises(ValueError, match="model="):
        Detector.load(path)
    with pytest.raises(ValueError, match="layers"):
        Detector.load(path, model=ConvAutoencoder(1, 8, width=2))
    assert Detector.load(path, model=copy.deepcopy(model)).count == 3
    compare(path, model)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_default_dtype_and_device_do_not_matter(contents, tmp_path, name, dtype):
    path = tmp_path / "detector.safetensors"
    write(path, *contents[name])
    expected = Detector.load(path).model.state_dict()
    try:
        torch.set_default_dtype(dtype)
        torch.set_default_device("meta")
        given = Detector.load(path)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    for key, tensor in given.model.state_dict().items():
        assert (tensor.dtype, tensor.device) == (expected[key].dtype, expected[key].device)
        assert torch.equal(tensor, expected[key])


def test_a_given_model_takes_the_dtype_of_the_file(contents, tmp_path):
    path = tmp_path / "detector.safetensors"
    write(path, *contents["float64"])
    detector = Detector.load(path, model=ConvAutoencoder(1, 9, width=2))
    assert {tensor.dtype for tensor in detector.model.state_dict().values()} == {torch.float64}


@pytest.mark.parametrize("load", [gradcon_ext.Scorer.load, runtime.Scorer.load, Detector.load])
def test_the_folder_of_a_run_is_as_good_as_its_file(contents, tmp_path, load):
    with pytest.raises(FileNotFoundError, match=f"detector.safetensors.* {tmp_path}"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")
    write(tmp_path / "detector.safetensors", *contents["CAE"])
    load(tmp_path)
    load(str(tmp_path))


@pytest.mark.parametrize("load", [gradcon_ext.Scorer.load, runtime.Scorer.load])
def test_loading_again_and_again_takes_no_more_memory(contents, tmp_path, load):
    path = tmp_path / "detector.safetensors"
    write(path, *contents["CAE"])
    assert growth(lambda: load(path), 300) < 200_000  # it was 1.3 kB a call
