"""The alignment op alone, layer by layer, beside torch's pass to the weight gradient of the batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.report.effort import Effort
from benchmarks.report.measure import Layouts
from benchmarks.timing import Contender, Measurement, best, interleaved
from benchmarks.workload import Workload
from gradcon_ext.alignment.capture import captured
from gradcon_ext.ops import conv_grad_alignment

SIZES = {28: 256, 64: 64, 128: 32, 256: 16}
"""How many images of each size."""

OURS = "gradcon_ext.ops.conv_grad_alignment"
THEIRS = "torch's weight gradient of the batch"


@dataclass(frozen=True)
class LayerCost:
    """What one constrained layer takes, with images of a size."""

    size: int
    layer: int
    ours: Measurement
    theirs: Measurement

    @property
    def ratio(self) -> float:
        return self.ours.microseconds / self.theirs.microseconds

    def __str__(self) -> str:
        return f"{self.size} pixels, layer {self.layer}: {self.ours}; {self.theirs}; {self.ratio:.2f}"


@dataclass(frozen=True)
class _Call:
    """A layer, and what went through it."""

    layer: nn.ConvTranspose2d
    input: Tensor
    grad_output: Tensor
    reference: Tensor

    def align(self) -> None:
        layer = self.layer
        conv_grad_alignment(
            self.input,
            self.grad_output,
            self.reference,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            transposed=True,
        )

    def weight_gradient(self, batch: int) -> None:
        layer = self.layer
        for input, grad_output in zip(self.input.split(batch), self.grad_output.split(batch), strict=True):
            torch.ops.aten.convolution_backward(
                grad_output,
                input,
                layer.weight,
                None,
                layer.stride,
                layer.padding,
                layer.dilation,
                True,
                layer.output_padding,
                layer.groups,
                (False, True, False),
            )


def costs(effort: Effort) -> list[LayerCost]:
    """Of all constrained layers at all sizes; torch at its best of layouts and batches."""
    return [cost for size, samples in SIZES.items() for cost in _of_size(size, samples, effort)]


def _of_size(size: int, samples: int, effort: Effort) -> list[LayerCost]:
    calls = {layout: _calls(workload) for layout, workload in Layouts(size, samples=samples)}
    costs = []
    for layer in range(len(calls[""])):
        contenders = []
        for layout, of_layout in calls.items():
            call = of_layout[layer]
            contenders.append(Contender(OURS, samples, samples, call.align, layout))
            contenders += [
                Contender(THEIRS, batch, samples, partial(call.weight_gradient, batch), layout)
                for batch in sorted({1, 8, samples})
            ]
        measured = interleaved(contenders, effort.rounds, effort.seconds / 30)
        costs.append(LayerCost(size, layer, best(measured, OURS), best(measured, THEIRS)))
    return costs


def _calls(workload: Workload) -> list[_Call]:
    modules = [workload.model.get_submodule(name.removesuffix(".weight")) for name in workload.references]
    workload.model.requires_grad_(False)
    with captured(modules, {}) as capture:
        error = (workload.model(workload.images) - workload.images).square().flatten(1).mean(1)
        torch.autograd.grad(error.sum(), capture.leaves)
    calls = [capture.calls[module][0] for module in modules]
    return [
        _Call(module, call.input, call.grad_output, reference)
        for module, call, reference in zip(modules, calls, workload.references.values(), strict=True)
    ]
