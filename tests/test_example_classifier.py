"""What docs/examples/classifier.md compares, on features made up; its numbers are for the benchmark."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from support.benchmark_modules import benchmark_module
from support.libraries import library
from support.torchvision_operators import torchvision_importable

library("efficientnet_lite_pytorch")
with torchvision_importable():
    library("pytorch_ood")


@pytest.fixture
def classifier(monkeypatch):
    return benchmark_module("examples.classifier", monkeypatch)


@pytest.fixture
def features():
    """Of three classes that lie apart, and their labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(1500) % 3
    return 4 * torch.eye(3, 520)[labels] + 0.3 * torch.randn(1500, 520, generator=generator), labels.numpy()


def test_the_head_is_scikit_learns(classifier, features) -> None:
    head = classifier.linear_head(*features)
    assert (head(features[0]).argmax(1).numpy() == features[1]).all()
    assert not head.weight.requires_grad


def test_what_is_far_from_all_classes_is_told_by_every_detector(classifier, features) -> None:
    (train, inliers), (labels, _) = features[0].split([1200, 300]), np.split(features[1], [1200])
    detectors = classifier.fitted(classifier.linear_head(train, labels), train, labels)
    assert len(detectors) == 9
    between = (inliers.roll(1, 0) + inliers) / 2**0.5  # as much of one class as of another, and as noisy
    for name, detector in detectors.items():
        found = classifier.aurocs(detector, {"inliers": inliers, "between": between, "same": inliers})
        assert list(found) == ["between", "same"]
        assert found["same"] == pytest.approx(0.5)
        assert found["between"] > 0.6, name


def test_images_become_what_the_network_takes(classifier) -> None:
    grey = np.full((2, 1, 28, 28), 255, np.uint8)
    images = classifier.network_input(grey)
    assert images.shape == (2, 3, 96, 96)
    torch.testing.assert_close(images[0, 0, 0, 0], torch.tensor((1 - 0.485) / 0.229))
    batches = classifier.features_of(nn.Flatten(), grey.repeat(3, 0), batch=4)
    assert batches.equal(classifier.network_input(grey.repeat(3, 0)).flatten(1))


def test_the_whole_classifier_scores_as_its_head_does(classifier, features) -> None:
    train, labels = features
    head = classifier.linear_head(train, labels)
    detector = classifier.fitted(head, train, labels)["GradCon"]
    whole = classifier.of_all(nn.Identity(), head, detector)
    torch.testing.assert_close(whole.predict(train), detector.predict(train))


def test_the_figure(classifier, tmp_path) -> None:
    outliers = ("one", "two", "three", "four")
    found = {name: dict.fromkeys(outliers, value) for name, value in (("GradCon", 0.9), ("pytorch-ood: KNN", 0.7))}
    classifier.draw(found, tmp_path / "new" / "figure.png")
    with Image.open(tmp_path / "new" / "figure.png") as figure:
        assert figure.size[0] > figure.size[1]
