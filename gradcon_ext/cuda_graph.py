"""A step of training as one CUDA graph: hundreds of kernels for one launch."""

from __future__ import annotations

import torch
from torch import Tensor

from gradcon_ext.constraint import GradientConstraint
from gradcon_ext.optimizer_step import OptimizerStep

_WARM_UP = 3
"""Steps before the capture: libraries initialise themselves, Adam its state, and the first step has no constraint."""


class CapturedStep:
    """Takes the steps of an `OptimizerStep`, those of full batches by replaying a CUDA graph of one.

    The graph is that of the first batch's shape, that is, of full batches; a smaller batch at the end of an epoch runs
    as it would without a graph. The first batches are real steps, on the stream of the capture, as its warm-up.

    A replay runs the kernels of the captured step, on the tensors that it used: weights, references, the optimizer's
    state and the count of the references are changed in place. The `.grad` of the parameters is that of the step that
    ran last without a graph, or of the graph.

    Args:
        step: whose optimizer and constraint are capturable.
        constraint: of the step.
        device: a CUDA device.
    """

    def __init__(self, step: OptimizerStep, constraint: GradientConstraint, device: torch.device) -> None:
        self._step = step
        self._constraint = constraint
        self._device = device
        # One stream for warm-up and capture: what libraries keep for a stream is there when the capture begins. It is
        # the current one, so that runs on streams of their own share nothing of that, but for the default stream,
        # which cannot be captured.
        self._stream = torch.cuda.current_stream(device)
        if self._stream == torch.cuda.default_stream(device):
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._shape: torch.Size | None = None
        self._warm_up_left = _WARM_UP
        self._graph: torch.cuda.CUDAGraph | None = None

    def begin_epoch(self) -> None:
        """Bring the model into training mode, and forget the gradients so far."""
        self._step.begin_epoch()

    def silent(self) -> list[str]:
        """Return the names of the parameters whose gradient was exactly zero in every step of the epoch."""
        return self._step.silent()

    def __call__(self, images: Tensor) -> Tensor:
        """Take a step; see `Step`.

        Raises:
            RuntimeError: the model or its loss does something that cannot be captured, such as reading a number.
        """
        if self._shape is None:
            self._shape = images.shape
        if images.shape != self._shape:
            return self._step(images)
        if self._warm_up_left > 0:
            self._warm_up_left -= 1
            return self._on_side_stream(images)
        if self._graph is None:
            self._graph = self._capture(images.shape)
        # Not blocking: the copy is in order with the replays of this stream, and the host does not wait for them.
        self._images.copy_(images, non_blocking=True)
        self._graph.replay()
        self._constraint.count += 1
        return self._figures.clone()

    def _on_side_stream(self, images: Tensor) -> Tensor:
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            figures = self._step(images)
        current.wait_stream(self._stream)
        return figures

    def _capture(self, shape: torch.Size) -> torch.cuda.CUDAGraph:
        weight = next(iter(self._constraint.weights.values()))
        self._images = torch.empty(shape, dtype=weight.dtype, device=self._device)
        graph = torch.cuda.CUDAGraph()
        count = self._constraint.count
        try:
            # The first context restores the stream, which a failed capture does not.
            with (
                torch.cuda.stream(torch.cuda.current_stream(self._device)),
                torch.cuda.graph(graph, stream=self._stream),
            ):
                self._figures = self._step(self._images)
        except RuntimeError as error:
            raise RuntimeError(
                f"the training step cannot be captured in a CUDA graph; cuda_graph=False trains without one: {error}"
            ) from error
        self._constraint.count = count  # Capturing runs the Python code of a step, but none of its kernels.
        return graph
