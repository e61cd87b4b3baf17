"""What only a GPU can show: streams, graphs and large batches. Values are tested with those of the CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from gradcon_ext.models import ConvVariationalAutoencoder
from gradcon_ext.ops import conv_grad_alignment, linear_grad_alignment, running_mean_cosine_, score_autoencoder
from support.chain_arguments import paper_arguments


def conv(device: str, samples: int = 40) -> Callable[[], tuple[torch.Tensor, ...]]:
    x, y = torch.randn(samples, 32, 8, 8, device=device), torch.randn(samples, 32, 14, 14, device=device)
    references = torch.randn(3, 32, 32, 4, 4, device=device)
    return lambda: conv_grad_alignment(x, y, references, stride=2, padding=2, transposed=True)


def linear(device: str) -> Callable[[], tuple[torch.Tensor, ...]]:
    x, y, a = (torch.randn(shape, device=device) for shape in ((40, 30), (40, 20), (20, 30)))
    return lambda: linear_grad_alignment(x, y, a)


def running_mean(device: str) -> Callable[[], tuple[torch.Tensor, ...]]:
    mean, grad = torch.randn(100_000, device=device), torch.randn(100_000, device=device)
    return lambda: (running_mean_cosine_(updated := mean.clone(), grad, 5), updated)


def score(device: str) -> Callable[[], tuple[torch.Tensor, ...]]:
    arguments = paper_arguments(ConvVariationalAutoencoder, samples=40).to(device)
    return lambda: score_autoencoder(*arguments)


pytestmark = [pytest.mark.cuda, pytest.mark.parametrize("device", ["cuda"], indirect=True)]

OPS = [conv, linear, running_mean, score]


@pytest.mark.parametrize("op", OPS)
def test_same_bits_twice(device: str, op) -> None:
    run = op(device)
    assert all(map(torch.equal, run(), run()))


@pytest.mark.parametrize("op", OPS)
def test_runs_on_the_current_stream(device: str, op) -> None:
    run = op(device)
    expected = run()
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)  # so that work on another stream would be read too early
        results = run()
    stream.synchronize()
    assert all(map(torch.equal, results, expected))


@pytest.mark.parametrize("op", OPS)
def test_can_be_captured_in_a_graph(device: str, op) -> None:
    run = op(device)
    expected = run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = run()
    graph.replay()
    torch.cuda.synchronize()
    assert all(map(torch.equal, results, expected))


def test_a_batch_larger_than_a_chunk(device: str) -> None:
    run = conv(device, samples=20_000)
    dot, sq_norm = run()
    assert dot.shape == (20_000, 3)
    assert bool((sq_norm > 0).all())


def test_scores_of_a_batch_larger_than_a_chunk(device: str) -> None:
    arguments = paper_arguments(samples=20_000).to(device)
    together = score_autoencoder(*arguments)
    for part in (slice(40), slice(-40, None)):
        apart = score_autoencoder(*arguments._replace(images=arguments.images[part]))
        for result, expected in zip(together, apart, strict=True):
            torch.testing.assert_close(result[part], expected)
