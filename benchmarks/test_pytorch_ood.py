"""GradNorm beside pytorch-ood's own, in time and in peak memory, over batches of 1, 16 and 128.

The model has ResNet-18's shape, for images of 64 pixels. The library's micro batch is the best of three for each case
in time, and its default in memory, which is the most that a process of its own holds beyond what it held before; see
`extra_info`.
"""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from time import process_time

import pytest
import torch
from torch import Tensor

from benchmarks.resnet import resnet18_of_large_images
from support.torchvision_operators import torchvision_importable

BATCHES = (1, 16, 128)
MICRO_BATCHES = (1, 8, 32)


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


def _contender(whose: str, layers: str, batch: int) -> Callable[[Tensor], Tensor]:
    if whose == "ours":
        return ours(layers)
    images = _images(batch)
    candidates = [library(layers, micro_batch) for micro_batch in MICRO_BATCHES if micro_batch <= batch]
    return min(candidates, key=lambda predict: _time(predict, images))


def _time(predict: Callable[[Tensor], Tensor], images: Tensor) -> float:
    predict(images)
    started = process_time()
    predict(images)
    return process_time() - started


def _peak(whose: str, layers: str, batch: int) -> float:
    """MiB beyond the memory before, in this process, which has scored a single image already."""
    predict = ours(layers) if whose == "ours" else library(layers, MICRO_BATCHES[-1])
    predict(_images(1))
    images = _images(batch)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    predict(images)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("layers", ["last", "all"])
@pytest.mark.parametrize("whose", ["ours", "library"])
def test_grad_norm(benchmark, whose: str, layers: str, batch: int) -> None:
    predict, images = _contender(whose, layers, batch), _images(batch)
    benchmark.group = f"grad norm, {layers}, batch {batch}"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        benchmark.extra_info["peak_mib"] = process.submit(_peak, whose, layers, batch).result()
    benchmark.pedantic(predict, (images,), rounds=2, warmup_rounds=1)
