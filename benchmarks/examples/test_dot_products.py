"""Every way to the dot products and norms gives those of single samples' gradients."""

from __future__ import annotations

import pytest
import torch

from benchmarks.examples import dot_product_times, dot_products
from benchmarks.examples.dot_product_times import check_agreement
from benchmarks.examples.small_classifier import convolutional, gradients_of_batches, perceptron


@pytest.fixture(params=[convolutional(0, width=2), perceptron(0, hidden=3)])
def workload(request):
    model = request.param
    images, labels = torch.rand(7, 1, 28, 28), torch.randint(0, 10, (7,))
    references = gradients_of_batches(model, [(images[:3], labels[:3]), (images[3:4], labels[3:4])])
    return model, references, images, labels


def as_rows(gradients: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([some.flatten(1) for some in gradients.values()], 1)


@pytest.mark.parametrize("way", [dot_products.ours, dot_products.vmap_grad, dot_products.hooks])
def test_dots_and_norms(workload, way) -> None:
    model, references, images, labels = workload
    gradients = as_rows(gradients_of_batches(model, zip(images.split(1), labels.split(1), strict=True)))
    dots, sq_norms = way(model, references, images, labels, batch=3)
    torch.testing.assert_close(dots, gradients @ as_rows(references).T, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sq_norms, gradients.square().sum(1), rtol=1e-4, atol=1e-5)


def test_a_zero_gradient_has_cosine_zero() -> None:
    references = {"a": torch.tensor([[[3.0]], [[0.0]]]), "b": torch.tensor([[4.0], [0.0]])}
    products = torch.tensor([[5.0, 0.0], [0.0, 0.0]]), torch.tensor([4.0, 0.0])
    assert dot_products.cosines(products, references).tolist() == [[0.5, 0], [0, 0]]


@pytest.mark.parametrize("way", [dot_product_times.OURS, dot_product_times.HOOKS])
def test_what_disagrees_is_not_measured(workload, monkeypatch, way) -> None:
    check_agreement(*workload)
    run, batches = dot_product_times.RUNS[way]
    monkeypatch.setitem(dot_product_times.RUNS, way, (lambda *a, **b: [1.01 * each for each in run(*a, **b)], batches))
    with pytest.raises(AssertionError, match="not close"):
        check_agreement(*workload)
