"""A step of training as one CUDA graph: hundreds of kernels for one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from gradcon_ext.chain.engine import Engine
from gradcon_ext.training.constraint import GradientConstraint
from gradcon_ext.training.step import OptimizerStep

_WARM_UP = 3
"""Steps before the capture: libraries initialise themselves, Adam its state, and the first step has no constraint."""


class Graph(Protocol):
    """Runs a function of tensors again and again, on the memory that it used when it was captured."""

    def warm_up(self, function: Callable[[], Tensor]) -> Tensor:
        """Run a function as it is, where it will be captured, and return its result."""

    def capture(self, function: Callable[[], Tensor]) -> None:
        """Note what a function does to tensors, without doing it. Its Python code runs.

        Raises:
            RuntimeError: it does something that cannot be captured.
        """

    def replay(self) -> Tensor:
        """Do what was captured, and return the result, which the next replay overwrites."""


class CudaGraph:
    """A graph of CUDA.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # One stream for warm-up and capture: what libraries keep for a stream is there when the capture begins. It is
        # the current one, so that runs on streams of their own share nothing of that, but for the default stream,
        # which cannot be captured.
        self._stream = torch.cuda.current_stream(device)
        if self._stream == torch.cuda.default_stream(device):
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph = torch.cuda.CUDAGraph()
        self._result: Tensor

    def warm_up(self, function: Callable[[], Tensor]) -> Tensor:
        """Run a function on the stream of the capture."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            result = function()
        current.wait_stream(self._stream)
        return result

    def capture(self, function: Callable[[], Tensor]) -> None:
        """Note the kernels of a function."""
        # The first context restores the stream, which a failed capture does not.
        with (
            torch.cuda.stream(torch.cuda.current_stream(self._device)),
            torch.cuda.graph(self._graph, stream=self._stream),
        ):
            self._result = function()

    def replay(self) -> Tensor:
        """Launch the kernels."""
        self._graph.replay()
        return self._result


class CapturedStep:
    """Takes the steps of an `OptimizerStep`, those of full batches by replaying a graph of one.

    The graph is that of the first batch's shape, that is, of full batches; a smaller batch at the end of an epoch runs
    as it would without a graph. The first batches are real steps, on the stream of the capture, as its warm-up.

    A replay runs the kernels of the captured step, on the tensors that it used: weights, references, the optimizer's
    state and the count of the references are changed in place. The `.grad` of the parameters is that of the step that
    ran last without a graph, or of the graph.

    Args:
        step: whose optimizer and constraint are capturable.
        constraint: of the step.
        graph: not captured yet.
    """

    def __init__(self, step: OptimizerStep, constraint: GradientConstraint, graph: Graph) -> None:
        self._step = step
        self._constraint = constraint
        self._graph = graph
        self._images: Tensor | None = None
        self._shape: torch.Size | None = None
        self._warm_up_left = _WARM_UP

    @property
    def engine(self) -> Engine:
        """How the last step was computed, and why."""
        return self._step.engine

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
            return self._graph.warm_up(lambda: self._step(images))
        # The count of a capture or replay is not that of the Python code, which runs in the one and not in the other.
        count = self._constraint.count
        if self._images is None:
            self._images = self._captured(images.shape)
        # Not blocking: the copy is in order with the replays of this stream, and the host does not wait for them.
        self._images.copy_(images, non_blocking=True)
        metrics = self._graph.replay().clone()
        self._constraint.count = count + 1
        return metrics

    def _captured(self, shape: torch.Size) -> Tensor:
        """Capture a step of images of a shape, and return the tensor that they are to be written to."""
        weight = next(iter(self._constraint.weights.values()))
        images = torch.empty(shape, dtype=weight.dtype, device=weight.device)
        try:
            self._graph.capture(lambda: self._step(images))
        except RuntimeError as error:
            raise RuntimeError(
                f"the training step cannot be captured in a CUDA graph; cuda_graph=False trains without one: {error}"
            ) from error
        return images
