from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gradcon_ext._install import device
from gradcon_ext._install.build_facts import build_info


def build_for(monkeypatch, architectures):
    monkeypatch.setattr(device, "build_info", lambda: replace(build_info(), cuda_architectures=architectures))


@pytest.mark.parametrize("given", ["cpu", torch.device("cpu")])
def test_every_build_has_kernels_for_the_cpu(monkeypatch, given):
    build_for(monkeypatch, ())
    assert device.usable_device(given) == torch.device("cpu")


@pytest.mark.parametrize("given", ["cuda", torch.device("cuda:0")])
def test_a_build_without_cuda_refuses_cuda(monkeypatch, given):
    build_for(monkeypatch, ())
    with pytest.raises(ValueError, match="device 'cuda.* cpu only"):
        device.usable_device(given)


@pytest.mark.parametrize("architectures", [(), ("9.0",)])
def test_a_device_without_numbers_is_refused(monkeypatch, architectures):
    build_for(monkeypatch, architectures)
    with pytest.raises(
        ValueError, match=f"device 'meta'.*kernels for {'cpu and cuda' if architectures else 'cpu only'}"
    ):
        device.usable_device("meta")


@pytest.mark.parametrize("given", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, given):
    build_for(monkeypatch, ("9.0",))
    with pytest.raises(ValueError, match=f"device '{given}' .*: "):
        device.usable_device(given)
