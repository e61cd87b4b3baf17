"""Which engine computes a model: found out at its first batch, and again whenever its structure has changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from torch import Tensor, nn

from gradcon_ext.chain.chain import Chain, NotAChain
from gradcon_ext.chain.engine import Engine
from gradcon_ext.chain.fingerprint import Fingerprint
from gradcon_ext.chain.surroundings import has_modes
from gradcon_ext.chain.tracing import MANY_SAMPLES, readers_of

ImageShape = tuple[int, ...]


class EngineChoice:
    """The engines of one model, as long as it stays what it is.

    Whatever was found out goes with the structure it was found out of, so threads may share a choice.

    Args:
        model: whose structure is compared at every call, which takes some tens of microseconds.
        settings: what else the chain depends on, such as the loss; compared by `==`.
        trace: finds the chain for images of a shape and a number of them, or raises `NotAChain`.
    """

    def __init__(self, model: nn.Module, settings: Any, trace: Callable[[ImageShape, int], Chain]) -> None:
        self._model = model
        self._settings = settings
        self._trace = trace
        self._fingerprint = Fingerprint(model, settings)
        self._engines: dict[ImageShape, Engine] = {}
        self._batches: set[tuple[ImageShape, int]] = set()
        self._verified: set[Hashable] = set()
        self._readers: dict[ImageShape, list[Callable[[], Tensor]]] = {}

    def is_current(self, model: nn.Module, settings: Any) -> bool:
        """Whether it is the same model and the same settings, and both still are what they were."""
        return model is self._model and bool(settings == self._settings) and self._fingerprint.is_current()

    def for_shape(self, image_shape: ImageShape) -> Engine:
        """Return the engine for images of shape (C, H, W)."""
        if image_shape not in self._engines:
            engine = self._engine(image_shape)
            if (
                not self._fingerprint.is_current()
            ):  # So another thread has changed it, and nobody knows what was traced.
                return Engine("any model", "the model changed while it was looked at")
            self._engines[image_shape] = engine
        return self._engines[image_shape]

    def for_batch(self, image_shape: ImageShape, samples: int) -> Engine:
        """Return the same for so many of them; a number that is new is traced by itself, in milliseconds."""
        if has_modes():
            return Engine("any model", "a mode of torch is active, which the fused engine would not ask")
        engine = self.for_shape(image_shape)
        if engine.chain is None or samples == 0 or (image_shape, samples) in self._batches:
            return engine
        return self._compared(engine, image_shape, samples)

    def parameters(self, chain: Chain) -> list[Tensor]:
        """Return the present values of an engine's parameters, as `gradcon_ext.chain.tracing.parameters_of` does."""
        if chain.image_shape not in self._readers:
            self._readers[chain.image_shape] = readers_of(chain, self._model)
        return [read() for read in self._readers[chain.image_shape]]

    def is_verified(self, case: Hashable) -> bool:
        """Whether the fused engine was compared with automatic differentiation in a case, such as a shape of images."""
        return case in self._verified

    def verified(self, case: Hashable) -> None:
        """Note that it was compared, and agreed; unless the model has changed meanwhile."""
        if self._fingerprint.is_current():
            self._verified.add(case)

    def refuse(self, image_shape: ImageShape, reason: str) -> Engine:
        """Leave the fused engine for images of a shape, and return the other."""
        self._engines[image_shape] = Engine("any model", reason)
        return self._engines[image_shape]

    def _engine(self, image_shape: ImageShape) -> Engine:
        try:
            chain = self._trace(image_shape, MANY_SAMPLES)
        except NotAChain as reason:
            return Engine("any model", str(reason))
        engine = Engine("fused chain", "the model is a chain of layers that it has", chain)
        # The gradient of a sample is that of a batch of one.
        return self._compared(engine, image_shape, 1)

    def _compared(self, engine: Engine, image_shape: ImageShape, samples: int) -> Engine:
        self._batches.add((image_shape, samples))
        try:
            same = self._trace(image_shape, samples) == engine.chain
        except NotAChain:
            same = False
        reason = f"of a batch of {samples} it computes something else"
        return engine if same else self.refuse(image_shape, reason)
