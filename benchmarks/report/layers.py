"""The alignment op alone, layer by layer, beside torch's pass to the weight gradient of the batch."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.layer_calls import LayerCall, aligned, layer_calls
from benchmarks.report.comparison import Comparison
from benchmarks.report.effort import Effort
from benchmarks.report.measure import Layouts
from benchmarks.timing import Contender, best, interleaved

SIZES = {28: 256, 64: 64, 128: 32, 256: 16}
"""How many images of each size."""

OURS = "gradcon_ext.ops.conv_grad_alignment"
THEIRS = "torch's weight gradient of the batch"


def costs(effort: Effort) -> list[Comparison]:
    """Of all constrained layers at all sizes; torch at its best of layouts and batches."""
    return [cost for size, samples in SIZES.items() for cost in _of_size(size, samples, effort)]


def _of_size(size: int, samples: int, effort: Effort) -> list[Comparison]:
    calls = {layout: layer_calls(workload) for layout, workload in Layouts(size, samples=samples)}
    costs = []
    for layer in range(len(calls[""])):
        contenders = []
        for layout, of_layout in calls.items():
            call = of_layout[layer]
            contenders.append(Contender(OURS, samples, samples, partial(aligned, call), layout))
            contenders += [
                Contender(THEIRS, batch, samples, partial(_weight_gradient, call, batch), layout)
                for batch in sorted({1, 8, samples})
            ]
        measured = interleaved(contenders, effort.rounds, effort.seconds / 30)
        costs.append(Comparison(f"layer {layer}", size, best(measured, OURS), best(measured, THEIRS)))
    return costs


def _weight_gradient(call: LayerCall, batch: int) -> None:
    layer = call.layer
    for input, grad_output in zip(call.input.split(batch), call.grad_output.split(batch), strict=True):
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
