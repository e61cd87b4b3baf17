from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from gradcon_ext.chain.chain import Chain
from gradcon_ext.detector.detector import Detector, read_facts
from gradcon_ext.losses import reconstruction_of, squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.storage.tensor_file import read_tensors, write_tensors
from gradcon_ext.version import __version__


class Custom(nn.Module):
    loss = staticmethod(squared_error)

    def __init__(self, features=3):
        super().__init__()
        self.decoder = nn.Sequential(nn.Flatten(), nn.Linear(4, features), nn.BatchNorm1d(features))

    def forward(self, images):
        return self.decoder(images)


def detector_of(model):
    names = [name for name in model.state_dict() if name.startswith("decoder") and name.endswith("weight")][:2]
    references = {name: torch.randn_like(model.get_parameter(name)) for name in names}
    facts = {"preprocessing": {"channels": 1, "size": [8, 8]}, "training": {"lr": 0.001, "layers": names}}
    return Detector(model.eval(), references, 17, 0.2, **facts)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "detector.safetensors"


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_a_detector_comes_back_from_its_file(path, model_type):
    detector = detector_of(model_type(2, (8, 11), width=3))
    detector.save(path)
    loaded = Detector.load(path)
    assert type(loaded.model) is model_type
    assert not loaded.model.training
    for name, tensor in detector.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)
    assert list(loaded.references) == list(detector.references)
    for name, reference in detector.references.items():
        assert torch.equal(loaded.references[name], reference)
    assert (loaded.count, loaded.alpha) == (17, 0.2)
    assert (loaded.preprocessing, loaded.training) == (detector.preprocessing, detector.training)
    images = torch.rand(3, 2, 8, 11)
    assert torch.equal(reconstruction_of(loaded.model(images)), reconstruction_of(detector.model(images)))


def test_a_rebuilt_model_is_ready_to_train_further(path):
    detector_of(ConvVariationalAutoencoder(size=8, width=2)).save(path)
    model = Detector.load(path).model
    assert all(parameter.requires_grad and not parameter.is_meta for parameter in model.parameters())
    assert not any(buffer.is_meta for buffer in model.buffers())


def test_the_file_says_what_wrote_it(path):
    detector_of(ConvAutoencoder(size=8, width=2)).save(path)
    _, facts = read_tensors(path, "detector", 1)
    assert facts["versions"] == {"gradcon_ext": __version__, "torch": str(torch.__version__)}
    assert facts["architecture"]["name"] == "ConvAutoencoder"


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_the_file_holds_the_chain_of_layers(path, model_type):
    detector = detector_of(model_type(1, 8, width=2))
    for preprocessing in (detector.preprocessing, {}):
        detector.preprocessing = preprocessing
        detector.save(path)
        chain = Chain.from_json(read_facts(path)["chain"])
        assert chain.image_shape == (1, 8, 8)
        assert list(chain.references) == list(detector.references)
        assert {source.name for source in chain.parameters} == set(detector.model.state_dict())


def test_a_model_that_is_no_chain_is_saved_without(path):
    detector_of(Custom()).save(path)
    assert read_facts(path)["chain"] is None
    detector = detector_of(nn.Sequential(OrderedDict(decoder=nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)))))
    for preprocessing in ({}, {"channels": 1}, {"channels": 1, "size": "8x8"}, {"channels": "1", "size": 8}):
        detector.preprocessing = preprocessing
        detector.save(path)
        assert read_facts(path)["chain"] is None
    detector.preprocessing = {"channels": 1, "size": 8}
    detector.save(path)
    assert read_facts(path)["chain"] is not None


def test_a_file_without_a_chain_is_read(path):
    detector_of(ConvAutoencoder(size=8, width=2)).save(path)
    tensors, facts = read_tensors(path, "detector", 1)
    del facts["chain"]
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)
    assert Detector.load(path).count == 17
    assert read_facts(path)["chain"] is None


def test_the_paper_weighs_the_alignment_by_0_12():
    assert Detector(ConvAutoencoder(), {}, 0).alpha == 0.12


def test_a_custom_model_takes_its_weights_from_the_file(path):
    detector = detector_of(Custom())
    detector.model(torch.rand(5, 4))
    detector.save(path)
    model = Custom()
    loaded = Detector.load(path, model=model)
    assert loaded.model is model
    assert not model.training
    for name, tensor in detector.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_a_custom_model_must_be_given(path):
    detector_of(Custom()).save(path)
    with pytest.raises(ValueError, match="detector.safetensors: .*model="):
        Detector.load(path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Custom(features=5), r"decoder.1.bias: .*torch.float32 \(5,\).*torch.float32 \(3,\)"),
        (nn.Linear(2, 2), "Linear.*decoder"),
    ],
)
def test_a_model_that_does_not_fit_is_an_error(path, model, message):
    detector_of(Custom()).save(path)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        Detector.load(path, model=model)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


FACTS = ("architecture", "layers", "count", "alpha", "preprocessing", "training")


def drop(name):
    return lambda tensors, facts: tensors.pop(name)


def replace(name, tensor):
    return lambda tensors, facts: tensors.update({name: tensor})


def forget(fact):
    return lambda tensors, facts: facts.pop(fact)


def change(**changes):
    return lambda tensors, facts: facts.update(changes)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (drop("model.decoder.0.weight"), "model.decoder.0.weight: .*got no"),
        (drop("reference.decoder.2.weight"), "reference.decoder.2.weight: .*got no"),
        (replace("model.decoder.0.bias", torch.zeros(5)), r"model.decoder.0.bias: .*\(4,\).*\(5,\)"),
        (replace("model.decoder.0.bias", torch.zeros(4).int()), "model.decoder.0.bias: .*int32"),
        (replace("reference.decoder.0.weight", torch.zeros(1)), r"reference.decoder.0.weight: .*got .* \(1,\)"),
        (replace("reference.encoder.0.weight", torch.zeros(1)), "reference.encoder.0.weight: expected no"),
        (replace("weight", torch.zeros(1)), "weight: expected no"),
        (change(layers=["decoder.0.weight", "decoder.9.weight"]), "decoder.9.weight"),
        (change(architecture={"name": "Perceptron"}), "'Perceptron'"),
        (change(architecture={"name": "ConvAutoencoder", "size": 8, "width": 3}), "decoder.*float32"),
        (
            change(architecture={"name": "ConvVariationalAutoencoder", "size": 28, "width": 100_000}),
            "ConvVariationalAutoencoder.*100000.* weights",
        ),
        (
            change(architecture={"name": "ConvAutoencoder", "size": 8, "width": 10**30}),
            f"ConvAutoencoder.*{10**30}",
        ),
        *((forget(name), f" {name} .*type.* nothing") for name in FACTS),
        *((change(**{name: "x"}), f" {name} .*type.* 'x'") for name in FACTS),
        (change(preprocessing=None), "preprocessing .*dict.* None"),
        (change(count=True), "count .*int.* True"),
        (change(chain=3), r"chain .*dict \| None.* 3"),
        (change(chain={}), "chain: .*{}.*missing"),
        (lambda tensors, facts: facts["chain"]["layers"].pop(0), "chain: layer 0 .*input"),
        (change(layers=[]), "one or more layers"),
        (change(layers=[3]), "different names"),
        (change(count=-1), "count = -1"),
        (change(alpha=float("nan")), "alpha = nan"),
        (change(version=2), "version 1.* 2$"),
        (change(kind="checkpoint"), "detector.* checkpoint"),
    ],
)
def test_a_file_that_does_not_hold_a_detector_is_an_error(path, harm, message):
    detector_of(ConvAutoencoder(size=8, width=2)).save(path)
    tensors, facts = read_tensors(path, "detector", 1)
    harm(tensors, facts)
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)
    with pytest.raises(ValueError, match=message) as error:
        Detector.load(path)
    assert str(path) in str(error.value)


def test_a_damaged_file_is_an_error(path):
    detector_of(ConvAutoencoder(size=8, width=2)).save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} .*checksum"):
        Detector.load(path)


def test_a_missing_file_is_not_found(path):
    with pytest.raises(FileNotFoundError):
        Detector.load(path)
