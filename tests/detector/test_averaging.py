from __future__ import annotations

import copy

import pytest
import torch

from gradcon_ext import Detector, average_detectors
from gradcon_ext.models import ConvAutoencoder


def new_detector(seed, width=4):
    torch.manual_seed(seed)
    network = ConvAutoencoder(1, 8, width).eval()
    names = [name for name, _ in network.named_parameters() if "decoder" in name and "weight" in name]
    return Detector(network, {name: torch.randn_like(network.get_parameter(name)) for name in names}, count=seed)


def test_weights_and_references_are_averaged():
    detectors = [new_detector(seed) for seed in range(3)]
    before = copy.deepcopy(detectors[-1])
    result = average_detectors(detectors)
    for name, tensor in result.model.state_dict().items():
        total = torch.zeros_like(tensor)
        for detector in detectors:
            total += detector.model.state_dict()[name]
        torch.testing.assert_close(tensor, total / 3)
    for name, reference in result.references.items():
        total = torch.zeros_like(reference)
        for detector in detectors:
            total += detector.references[name]
        torch.testing.assert_close(reference, total / 3)
    for name, tensor in before.model.state_dict().items():
        assert torch.equal(detectors[-1].model.state_dict()[name], tensor)


def test_the_average_of_one_is_that_one():
    detector = new_detector(0)
    result = average_detectors([detector])
    for name, tensor in detector.model.state_dict().items():
        assert torch.equal(result.model.state_dict()[name], tensor)


def test_counts_of_normalisation_layers_stay_whole_numbers():
    def counted(count):
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).eval()
        model[1].num_batches_tracked.fill_(count)
        return Detector(model, {"0.weight": torch.ones(2, 2)}, count=1)

    assert average_detectors([counted(3), counted(5)]).model[1].num_batches_tracked == 4


def test_detectors_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="detectors.* none"):
        average_detectors([])
    with pytest.raises(ValueError, match="names or shapes"):
        average_detectors([new_detector(0), new_detector(0, width=2)])
