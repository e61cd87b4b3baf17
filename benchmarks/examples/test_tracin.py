"""Influences are what the formula says, one pair of samples at a time."""

from __future__ import annotations

import torch

from benchmarks.examples.labelled_images import Images
from benchmarks.examples.small_classifier import convolutional, loss
from benchmarks.examples.tracin import influence_of, share_found


def gradient(model, sample: Images) -> torch.Tensor:
    value = loss(model(sample.images), sample.labels).sum()
    return torch.cat([one.flatten() for one in torch.autograd.grad(value, list(model.parameters()))])


def test_influence_is_the_sum_over_checkpoints() -> None:
    models = [convolutional(seed, width=2) for seed in (0, 1)]
    train, tests = (Images(torch.rand(n, 1, 28, 28), torch.randint(0, 10, (n,))) for n in (4, 2))
    influence = influence_of(models, 0.1, train, tests)
    for n in range(4):
        own = [gradient(model, train[n : n + 1]) for model in models]
        torch.testing.assert_close(influence.on_itself[n], 0.1 * sum(one @ one for one in own))
        for k in range(2):
            of_test = [gradient(model, tests[k : k + 1]) for model in models]
            dots = torch.stack([one @ other for one, other in zip(own, of_test, strict=True)])
            lengths = torch.stack([one.norm() * other.norm() for one, other in zip(own, of_test, strict=True)])
            torch.testing.assert_close(influence.on_tests[n, k], 0.1 * dots.sum(), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(influence.cosine[n, k], (dots / lengths).mean(), rtol=1e-4, atol=1e-5)


def test_share_found() -> None:
    suspicion = torch.tensor([0.1, 0.9, 0.5, 0.7])
    is_wrong = torch.tensor([True, True, False, False])
    assert share_found(suspicion, is_wrong).tolist() == [0.5, 0.5, 0.5, 1]
