"""Which engine scores a model, proven on its first images."""

from __future__ import annotations

from torch import Tensor

from gradcon_ext.chain.chain import Chain
from gradcon_ext.chain.choice import EngineChoice
from gradcon_ext.chain.engine import Engine
from gradcon_ext.chain.tracing import trace_chain
from gradcon_ext.detector.verification import NotComparedError
from gradcon_ext.scoring.computation import Computation, Computed


class Engines:
    """Computes by the fused program where it is proven to be the model, and elsewhere by the model itself.

    Attributes:
        last: what computed the last images; None before the first.
    """

    def __init__(self) -> None:
        self.last: Engine | None = None
        self._choice: EngineChoice | None = None

    def for_shape(self, computation: Computation, image_shape: tuple[int, ...]) -> Engine:
        """Tell what computes images of shape (C, H, W), as far as that is known before the first of them."""
        return self._present_choice(computation).for_shape(image_shape)

    def compute(self, computation: Computation, images: Tensor, with_code: bool) -> Computed:
        """Compute it of images (N, C, H, W), after a check of the fused program where it has not been checked."""
        choice, shape = self._present_choice(computation), tuple(images.shape[1:])
        engine = choice.for_batch(shape, len(images))
        if engine.chain is not None and len(images) and not choice.is_verified(shape):
            engine = _verified(choice, engine, engine.chain, computation, images)
        chain = engine.chain
        if chain is None:
            computed = computation.by_model(images, with_code)
        else:
            computed = computation.by_chain(chain, choice.parameters(chain), images, with_code)
        self.last = engine
        return computed

    def _present_choice(self, computation: Computation) -> EngineChoice:
        model, loss, layers = computation.model, computation.loss, computation.layers

        def trace(image_shape: tuple[int, ...], samples: int) -> Chain:
            return trace_chain(model, layers, loss, image_shape, samples=samples)

        if self._choice is None or not self._choice.is_current(model, (loss, layers)):
            self._choice = EngineChoice(model, (loss, layers), trace)
        return self._choice


def _verified(choice: EngineChoice, engine: Engine, chain: Chain, computation: Computation, images: Tensor) -> Engine:
    """Compare the fused engine with automatic differentiation on the first and the last of some images."""
    shape = tuple(images.shape[1:])
    images = images[:: max(len(images) - 1, 1)]  # both ends of them, where they are
    computed = computation.by_chain(chain, choice.parameters(chain), images, with_code=False)
    try:
        reason = computation.disagreement(computed, images)
    except NotComparedError as not_now:  # The next images are another try.
        return Engine("any model", str(not_now))
    if reason is not None:
        return choice.refuse(shape, reason)
    choice.verified(shape)
    return engine
