"""GradNorm beside pytorch-ood's own, in time and in peak memory, over batches of 1, 16 and 128 samples.

The model has ResNet-18's shape, for images of 64 pixels. In time the library has the best of three micro batches, found
anew for each case; in memory its default, and the peak is the most that a process of its own holds beyond what it held
after a single image.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from time import perf_counter

import pytest
import torch
from torch import Tensor

from benchmarks import THREADS
from benchmarks.resnet import resnet18_of_large_images
from support.memory import peak
from support.torchvision_operators import torchvision_importable

MICRO_BATCHES = (1, 8, 32)
DEFAULT_MICRO_BATCH = 32
ROUNDS = {1: 9, 16: 3, 128: 1}
"""By the batch: the library takes ten seconds for all layers of 128 samples, and each round runs everybody twice."""
ENOUGH_TO_CHOOSE = 32
"""Samples that tell which micro batch is best; it is that of every larger batch too."""


def ours(layers: str) -> Callable[[Tensor], Tensor]:
    with torchvision_importable():
        from gradcon_ext.pytorch_ood import GradNorm
    model = _model()
    return GradNorm(model, _names(model, layers)).predict


def library(layers: str, micro_batch: int) -> Callable[[Tensor], Tensor]:
    with torchvision_importable():
        from pytorch_ood.detector import GradNorm
    model = _model()
    names = set(_names(model, layers))
    return GradNorm(model, param_filter=names.__contains__, micro_batch_size=micro_batch).predict


def _model() -> torch.nn.Module:
    torch.manual_seed(0)
    return resnet18_of_large_images().eval()


def _names(model: torch.nn.Module, layers: str) -> list[str]:
    names = [name for name, parameter in model.named_parameters()]
    return names if layers == "all" else [name for name in names if name.endswith("weight")][-1:]


def _images(batch: int) -> Tensor:
    return torch.rand(batch, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def _best_micro_batch(layers: str, images: Tensor) -> int:
    some = images[:ENOUGH_TO_CHOOSE]

    def seconds(micro_batch: int) -> float:
        predict = library(layers, micro_batch)
        predict(some[:micro_batch])
        begin = perf_counter()
        predict(some)
        return perf_counter() - begin

    return min((micro_batch for micro_batch in MICRO_BATCHES if micro_batch <= len(images)), key=seconds)


@pytest.mark.parametrize("batch", ROUNDS)
@pytest.mark.parametrize("layers", ["last", "all"])
def test_time(compare, layers: str, batch: int) -> None:
    images = _images(batch)
    micro_batch = _best_micro_batch(layers, images)
    contender, baseline = ours(layers), library(layers, micro_batch)
    torch.testing.assert_close(contender(images[:2]), baseline(images[:2]))
    ratio = compare(
        partial(contender, images),
        partial(baseline, images),
        question=f"GradNorm of a ResNet-18, 64x64, {layers} layers",
        name=f"gradcon_ext.pytorch_ood.GradNorm, batch {batch}",
        baseline_name=f"pytorch-ood's, micro batch {micro_batch}",
        samples=batch,
        rounds=ROUNDS[batch],
    )
    print(f"\n{layers} layers, batch {batch}: {1 / ratio:.1f} times as fast")
    # One sample alone, or the last layer, is the forward (and backward) pass of torch for both.
    if layers == "all" and batch > 1:
        assert ratio <= 1 / 5


def _peak(whose: str, layers: str, batch: int) -> float:
    """MiB beyond the memory before, in this process, which has scored a single image already."""
    torch.set_num_threads(THREADS)
    predict = ours(layers) if whose == "ours" else library(layers, DEFAULT_MICRO_BATCH)
    predict(_images(1))
    images = _images(batch)
    return peak(lambda: predict(images)) / 2**20


@pytest.mark.parametrize("layers", ["last", "all"])
def test_memory(layers: str) -> None:
    """It is flat in the batch, once that fills a pass."""
    peaks: dict[str, list[float]] = {}
    for whose in ("ours", "library"):
        for batch in (16, 32, 128):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                peaks.setdefault(whose, []).append(process.submit(_peak, whose, layers, batch).result())
        print(
            f"\n{layers} layers, {whose}: " + ", ".join(f"{peak:.0f}" for peak in peaks[whose]) + " MiB at 16, 32, 128"
        )
    assert peaks["ours"][2] < 1.5 * peaks["ours"][1]
