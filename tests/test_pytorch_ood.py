"""Detectors for classifiers, beside pytorch-ood's own and plain autograd."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.data import DataLoader, TensorDataset

from support.libraries import library
from support.torchvision_operators import torchvision_importable

with torchvision_importable():
    library("pytorch_ood")
    from pytorch_ood import detector as of_library
    from pytorch_ood.api import Detector, ModelNotSetException, RequiresFittingException
    from pytorch_ood.metrics import OODMetrics

from gradcon_ext.pytorch_ood import GradCon, GradNorm

KNOWN = 7
ALL = ["0.weight", "0.bias", "1.weight", "1.bias", "5.weight", "5.bias", "7.weight", "7.bias"]


def classifier(classes: int = 4) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 24),
        nn.ReLU(),
        nn.Linear(24, classes),
    ).eval()


@pytest.fixture(scope="module")
def trained():
    """A classifier of the digits 0 to 6, its training set, and a loader of all digits with unknown ones marked."""
    torch.manual_seed(0)
    data, labels = load_digits(return_X_y=True)
    images, labels = torch.tensor(data / 16).float().reshape(-1, 1, 8, 8), torch.tensor(labels)
    known = labels[:1200] < KNOWN
    train = TensorDataset(images[:1200][known], labels[:1200][known])
    model = classifier(KNOWN).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(12):
        for x, y in DataLoader(train, 64, shuffle=True):
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    marked = torch.where(labels[1200:] < KNOWN, labels[1200:], -1)
    optimizer.zero_grad()
    return model.eval(), train, DataLoader(TensorDataset(images[1200:], marked), 50)


def gradients(model: nn.Module, x: torch.Tensor, names: list[str], temperature: float = 1.0) -> dict:
    """Those of single samples, (N, *weight), by plain autograd."""
    weights = [model.get_parameter(name) for name in names]
    singles = []
    for sample in x:
        loss = -(model(sample[None]) / temperature).log_softmax(1).mean()
        singles.append(torch.autograd.grad(loss, weights))
    return dict(zip(names, map(torch.stack, zip(*singles, strict=True)), strict=True))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("names", [["7.weight"], ["5.weight", "0.weight"], ALL], ids=["last", "some", "all"])
def test_grad_norm_is_the_librarys(names, temperature):
    model, x = classifier(), torch.rand(5, 1, 8, 8)
    scores = GradNorm(model, names, temperature).predict(x)
    theirs = of_library.GradNorm(model, param_filter=lambda name: name in names, temperature=temperature)
    torch.testing.assert_close(scores, theirs.predict(x))
    formed = gradients(model, x, names, temperature)
    torch.testing.assert_close(scores, -sum(each.detach().flatten(1).abs().sum(1) for each in formed.values()))


def test_grad_norm_of_a_layer_with_many_positions():
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Flatten(), nn.Linear(20, 3)).eval()
    x = torch.randn(4, 4, 6)
    expected = -gradients(model, x, ["0.weight"])["0.weight"].detach().flatten(1).abs().sum(1)
    torch.testing.assert_close(GradNorm(model, ["0.weight"]).predict(x), expected)


@pytest.mark.parametrize("names", [["7.weight"], ["0.weight", "1.bias", "7.weight"]])
@pytest.mark.parametrize("batch_size", [None, np.int64(2)])
@pytest.mark.parametrize("per_class", [True, False])
def test_grad_con_is_the_alignment_with_the_mean_gradient(names, batch_size, per_class):
    model, train, x = classifier(), torch.rand(9, 1, 8, 8), torch.rand(5, 1, 8, 8)
    loader = DataLoader(TensorDataset(train, torch.zeros(9)), 4)
    detector = GradCon(model, names, batch_size=batch_size, per_class=per_class).fit(loader)
    groups, own = (model(each).argmax(1) if per_class else [0] * len(each) for each in (train, x))
    expected = torch.zeros(5)
    for name, each in gradients(model, train, names).items():
        formed = gradients(model, x, [name])[name].detach()
        for sample in range(5):
            alike = [row.detach() for row, group in zip(each, groups, strict=True) if group == own[sample]]
            mean = torch.stack(alike).mean(0) if alike else torch.zeros_like(formed[0])
            torch.testing.assert_close(detector.references[name][own[sample]], mean)
            if alike:
                expected[sample] -= functional.cosine_similarity(formed[sample].flatten(), mean.flatten(), 0, eps=0)
    torch.testing.assert_close(detector.predict(x), expected / len(names), rtol=1e-4, atol=1e-5)


def test_both_tell_unknown_digits(trained):
    model, train, test = trained
    for detector, least in ((GradCon(model), 0.75), (GradNorm(model), 0.6)):
        detector.fit(DataLoader(train, 100))
        assert isinstance(detector, Detector)
        assert detector.layers == ["7.weight"]
        scores = torch.cat([detector(x) for x, _ in test])
        unknown = torch.cat([y for _, y in test]) < 0
        assert roc_auc_score(unknown, scores) > least, type(detector)


def test_the_librarys_metrics_take_the_scores(trained):
    model, train, test = trained
    metrics, detector = OODMetrics(), GradCon(model).fit(DataLoader(train, 100))
    for x, y in test:
        metrics.update(detector(x), y)
    assert metrics.compute()["AUROC"] > 0.75


def test_batches_change_nothing_and_neither_does_the_model(trained):
    model, train, _ = trained
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x = train.tensors[0][:30]
    for detector in (GradCon(model).fit([x]), GradNorm(model), GradNorm(model, ["0.weight"])):
        torch.testing.assert_close(torch.cat([detector(part) for part in x.split(7)]), detector(x))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_cannot_be_used():
    model, x = classifier(), torch.rand(2, 1, 8, 8)
    with pytest.raises(RequiresFittingException):
        GradCon(model).predict(x)
    with pytest.raises(ModelNotSetException):
        GradNorm(None)
    with pytest.raises(ValueError, match="no weight 'fc.weight'"):
        GradNorm(model, ["fc.weight"])
    with pytest.raises(ValueError, match="one name or more"):
        GradNorm(model, [])
    with pytest.raises(ValueError, match="Sequential has no linear layer"):
        GradCon(nn.Sequential(nn.Conv2d(1, 2, 3)))
    with pytest.raises(ValueError, match="temperature must be above 0"):
        GradCon(model, temperature=0)
    with pytest.raises(ValueError, match="has no samples"):
        GradCon(model).fit([])
    with pytest.raises(ValueError, match=r"returns \(2, 6, 8, 8\); expected logits"):
        GradNorm(model[:1], ["0.weight"]).predict(x)
    with pytest.raises(ValueError, match="normalises over the batch"):
        GradNorm(classifier().train()).predict(x)


@pytest.mark.parametrize(
    ("layer", "refusal"),
    [
        (nn.BatchNorm2d(1), "normalises over the batch"),
        (nn.Dropout(), "draws random numbers"),
        (spectral_norm(nn.Conv2d(1, 1, 1)), None),
    ],
    ids=["batch normalisation", "dropout", "spectral norm"],
)
def test_a_classifier_in_training_mode_is_not_changed(layer, refusal):
    torch.manual_seed(0)
    model, x = nn.Sequential(copy.deepcopy(layer), classifier()).train(), torch.rand(6, 1, 8, 8)
    model[1].eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    for use in (GradCon(model).fit, lambda images: GradNorm(model).predict(images[0])):
        with pytest.raises(ValueError, match=refusal) if refusal else nullcontext():
            use([x])
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
        assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), 3e38])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_sample_that_is_not_finite_leaves_the_others_as_they_are(broken, place):
    model, train, x = classifier(), torch.rand(9, 1, 8, 8), torch.rand(5, 1, 8, 8)
    bad = x.clone()
    bad[place] = broken
    others = [row for row in range(5) if row != place]
    for make in (GradNorm, GradCon):
        scores = []
        for first, then in ((bad, x), (x, bad)):
            detector = make(copy.deepcopy(model), ALL).fit([train])
            found = {id(images): detector.predict(images) for images in (first, then)}
            scores.append((found[id(bad)], found[id(x)]))
        torch.testing.assert_close(*scores, equal_nan=True)
        torch.testing.assert_close(scores[0][0][others], scores[0][1][others])
        assert not scores[0][0][place].isfinite()
