from __future__ import annotations

import pytest
import torch
from torch import nn

from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints, State


def state(features=2):
    network = nn.Linear(features, 1)
    return State({"n": network}, {"adam": torch.optim.Adam(network.parameters())})


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints("it", tmp_path, {"seed": 1})


@pytest.fixture
def saved(checkpoints):
    finished = state()
    finished.networks["n"](torch.ones(1, 2)).sum().backward()
    finished.optimizers["adam"].step()
    finished.epoch, finished.best_loss = 3, 0.5
    finished.best = {name: tensor + 1 for name, tensor in finished.weights().items()}
    checkpoints.save("training", finished)
    return finished


def test_all_of_a_state_comes_back(checkpoints, saved):
    expected = torch.rand(2)
    other = state()
    checkpoints.load("training", other)
    assert torch.equal(torch.rand(2), expected)
    assert (other.epoch, other.best_loss) == (3, 0.5)
    for mine, yours in ((other.weights(), saved.weights()), (other.best, saved.best)):
        assert mine.keys() == yours.keys()
        assert all(torch.equal(mine[name], yours[name]) for name in mine)
    mine, yours = (each.optimizers["adam"].state_dict()["state"] for each in (other, saved))
    assert mine.keys() == yours.keys()
    assert all(torch.equal(mine[index][name], yours[index][name]) for index in yours for name in yours[index])


@pytest.mark.parametrize(
    ("settings", "name"), [({"seed": 2}, "training"), ({"seed": 1, "more": 0}, "training"), ({"seed": 1}, "search")]
)
def test_what_is_of_another_training_changes_nothing(checkpoints, saved, settings, name):
    other = state()
    before = torch.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in other.weights().items()}
    Checkpoints("it", checkpoints.folder, settings).load(name, other)
    assert other.epoch == 0
    assert all(torch.equal(weights[name], tensor) for name, tensor in other.weights().items())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_damaged_file_is_refused(checkpoints, saved):
    (path,) = checkpoints.folder.iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"training\.safetensors is damaged"):
        checkpoints.load("training", state())


def test_networks_of_another_size_are_refused(checkpoints, saved):
    with pytest.raises(ValueError, match=r"training\.safetensors does not fit the networks: .*size mismatch"):
        checkpoints.load("training", state(3))


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Checkpoints().save("training", state())
    Checkpoints().load("training", state())
    assert list(tmp_path.iterdir()) == []


def test_a_bar_says_what_is_trained(capsys):
    with Checkpoints("PixelCNN", shown=True).bar("training", 5, 2) as bar:
        bar.update()
    assert "PixelCNN, training" in capsys.readouterr().err
    with Checkpoints("PixelCNN").bar("training", 5, 2) as bar:
        bar.update()
    assert capsys.readouterr().err == ""
