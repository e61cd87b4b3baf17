"""The gradient of the training objective for one batch, by the faster of two ways."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gradcon_ext.chain import Chain, Kind, NotAChain
from gradcon_ext.constraint import GradientConstraint
from gradcon_ext.engine import Engine
from gradcon_ext.freed_memory import keep_freed_memory
from gradcon_ext.losses import Loss, SampleLosses
from gradcon_ext.models import ConvVariationalAutoencoder
from gradcon_ext.ops import objective_gradient
from gradcon_ext.precision import Precision, run_in
from gradcon_ext.tracing import parameters_of, trace_chain


class TrainingStep:
    """Runs batches forward and backward, up to the optimizer's step.

    A model on the CPU that is a chain of common layers is differentiated as one fused program, any other by automatic
    differentiation. Both give the same gradients up to rounding, and draw the same random numbers.

    Args:
        model: in training mode.
        loss: of single samples.
        constraint: of weights of the model.
        image_shape: (C, H, W).
        precision: of the model's forward pass; in bfloat16 it is differentiated automatically.

    Attributes:
        engine: which way it is, and why.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        constraint: GradientConstraint,
        image_shape: tuple[int, ...],
        precision: Precision = "float32",
    ) -> None:
        self.model = model
        self.loss = loss
        self.constraint = constraint
        self.precision = precision
        self.engine = self._choose_engine(image_shape)
        keep_freed_memory(next(iter(constraint.weights.values())).device)
        self._backward: Callable[[], Tensor] | None = None

    def forward(self, images: Tensor) -> SampleLosses:
        """Return the losses of every image, detached.

        Args:
            images: (N, C, H, W), of the dtype and on the device of the weights.
        """
        if self.engine.chain is None:
            losses = self.loss(run_in(self.precision, self.model, images), images)
            batch_loss = losses.total.mean()
            self._backward = lambda: self.constraint.backward(batch_loss)
            return SampleLosses(losses.reconstruction.detach(), losses.latent.detach())
        return self._forward_fused(self.engine.chain, images)

    def backward(self) -> Tensor:
        """Leave the gradient of the objective in `.grad`, update the references, and return the cosines (L,).

        It is of the batch of the last `forward`, and may be left out; `.grad` must be None or zero before.
        """
        assert self._backward is not None, "backward comes after forward"
        backward, self._backward = self._backward, None
        return backward()

    def _forward_fused(self, chain: Chain, images: Tensor) -> SampleLosses:
        alpha = self.constraint.active_alpha
        result = objective_gradient(
            images,
            parameters_of(chain, self.model),
            list(self.constraint.references.values()),
            chain.program,
            chain.constants,
            chain.loss,
            _noise(chain, images),
            alpha,
        )

        def backward() -> Tensor:
            for source, gradient in zip(chain.parameters, result.gradients, strict=True):
                parameter = self.model.get_parameter(source.name)
                if parameter.requires_grad:
                    parameter.grad = gradient
            if alpha == 0:
                return self.constraint.measure()
            self.constraint.take(result.primal)
            return result.cosine

        self._backward = backward
        return SampleLosses(result.reconstruction, result.latent)

    def _choose_engine(self, image_shape: tuple[int, ...]) -> Engine:
        if self.precision != "float32":
            return Engine("any model", f"steps in {self.precision} are not fused")
        try:
            chain = trace_chain(self.model, list(self.constraint.weights), self.loss, image_shape)
            self._check(chain, image_shape)
        except NotAChain as reason:
            return Engine("any model", str(reason))
        return Engine("fused chain", "the model is a chain of layers that it has", chain)

    def _check(self, chain: Chain, image_shape: tuple[int, ...]) -> None:
        """Refuse what is scored as a chain, but trained in another way."""
        kinds = [layer.kind for layer in chain.layers]
        if Kind.BOTTLENECK in kinds:
            # How a model draws its code in training does not show in eval mode.
            if type(self.model) is not ConvVariationalAutoencoder:
                raise NotAChain("it is a variational autoencoder that only it knows how to train")
            if any(layer.reference >= 0 for layer in chain.layers[: kinds.index(Kind.BOTTLENECK)]):
                raise NotAChain("a constrained layer comes before the code that is drawn")
        elif chain != trace_chain(self.model, list(self.constraint.weights), self.loss, image_shape, training=True):
            raise NotAChain("it computes something else in training mode")
        devices = {parameter.device.type for parameter in self.model.parameters()}
        if devices != {"cpu"}:
            raise NotAChain(f"it is on {', '.join(sorted(devices))}, where steps are not fused")


def _noise(chain: Chain, images: Tensor) -> Tensor | None:
    """The numbers that `torch.randn_like` of the code would draw."""
    sizes = [layer.shape[0] for layer in chain.layers if layer.kind == Kind.BOTTLENECK]
    return torch.randn(len(images), sizes[0], dtype=images.dtype, device=images.device) if sizes else None
