"""The gradient of the training objective for one batch, by the faster of two ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from gradcon_ext.chain.chain import Chain, LayerKind, NotAChain
from gradcon_ext.chain.choice import EngineChoice
from gradcon_ext.chain.tracing import trace_chain
from gradcon_ext.data.pixels import is_bytes, like_weight
from gradcon_ext.losses import Loss, SampleLosses
from gradcon_ext.training.constraint import GradientConstraint
from gradcon_ext.training.fused_step import fused_step
from gradcon_ext.training.precision import Precision, run_in
from gradcon_ext.training.verification import check_step, has_gradient_hooks


class Objective:
    """Runs batches forward and backward, up to the optimizer's step.

    A model on the CPU that is a chain of common layers is differentiated as one fused program, any other by automatic
    differentiation. Both give the same gradients up to rounding, and draw the same random numbers.

    The first fused step, and the first under the constraint, are also computed by automatic differentiation on a copy
    of the model, which costs as much as some further steps. Where the two disagree, the model is differentiated
    automatically from then on. What a model is is compared at every step, and found out again where it has changed.

    A variational autoencoder is fused if it says, by an attribute `reparameterized` that is True, that in training
    mode its code is `mean + torch.randn_like(mean) * (log_variance / 2).exp()`, and all else is as in evaluation mode.

    Args:
        model: in training mode.
        loss: of single samples.
        constraint: of weights of the model.
        image_shape: (C, H, W).
        precision: of the model's forward pass; in bfloat16 it is differentiated automatically.

    Attributes:
        engine: which way the last step was computed, and why; before the first, which way it would be.
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
        self._weight = next(iter(constraint.weights.values()))
        self._choice = self._new_choice()
        self.engine = self._choice.for_shape(image_shape)
        self._backward: Callable[[], Tensor] | None = None

    def forward(self, images: Tensor) -> SampleLosses:
        """Return the losses of every image, detached.

        Args:
            images: (N, C, H, W), uint8 (0 to 255) or floating point (0 to 1). Bytes reach the fused program
                as they are.
        """
        images = images.to(self._weight.device) if is_bytes(images) else images.to(self._weight)
        if not self._choice.is_current(self.model, self._settings()):
            self._choice = self._new_choice()
        self.engine = self._choice.for_batch(tuple(images.shape[1:]), len(images))
        if self.engine.chain is None:
            return self._forward_by_autograd(images)
        return self._forward_fused(self.engine.chain, images)

    def backward(self) -> Tensor:
        """Leave the gradient of the objective in `.grad`, update the references, and return the cosines (L,).

        It is of the batch of the last `forward`, and may be left out; `.grad` must be None or zero before.
        """
        assert self._backward is not None, "backward comes after forward"
        backward, self._backward = self._backward, None
        return backward()

    def _forward_by_autograd(self, images: Tensor) -> SampleLosses:
        pixels = like_weight(images, self._weight)
        losses = self.loss(run_in(self.precision, self.model, pixels), pixels)
        batch_loss = losses.total.mean()
        self._backward = lambda: self.constraint.backward(batch_loss)
        return SampleLosses(losses.reconstruction.detach(), losses.latent.detach())

    def _forward_fused(self, chain: Chain, images: Tensor) -> SampleLosses:
        alpha = self.constraint.active_alpha
        shape = tuple(images.shape[1:])
        case = (shape, alpha > 0)
        if not self._choice.is_verified(case):
            reason = check_step(chain, self.model, self.loss, self.constraint, images)
            if reason is not None:
                self.engine = self._choice.refuse(shape, reason)
                return self._forward_by_autograd(images)
            self._choice.verified(case)
        result = fused_step(chain, self.model, self.constraint, images)

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

    def _new_choice(self) -> EngineChoice:
        return EngineChoice(self.model, self._settings(), self._chain)

    def _settings(self) -> tuple[Any, ...]:
        return self.loss, self.precision, has_gradient_hooks(self.model)

    def _chain(self, image_shape: tuple[int, ...], samples: int) -> Chain:
        """The chain that the model is in training, or `NotAChain`."""
        if self.precision != "float32":
            raise NotAChain(f"steps in {self.precision} are not fused")
        if has_gradient_hooks(self.model):
            raise NotAChain("a parameter has hooks, which the fused engine would not call")
        devices = {parameter.device.type for parameter in self.model.parameters()}
        if devices != {"cpu"}:
            raise NotAChain(f"it is on {', '.join(sorted(devices))}, where steps are not fused")
        weights = list(self.constraint.weights)
        self._check_constrained()
        chain = trace_chain(self.model, weights, self.loss, image_shape, samples=samples)
        if not any(layer.kind == LayerKind.BOTTLENECK for layer in chain.layers):
            if chain != trace_chain(self.model, weights, self.loss, image_shape, training=True, samples=samples):
                raise NotAChain("it computes something else in training mode")
        else:
            _check_variational(self.model, chain)
        return chain

    def _check_constrained(self) -> None:
        """Leave to automatic differentiation what is an error there."""
        present = dict(self.model.named_parameters())
        for name, weight in self.constraint.weights.items():
            if present.get(name) is not weight or not weight.requires_grad:
                raise NotAChain(f"{name} is not the parameter any more that is constrained")


def _check_variational(model: nn.Module, chain: Chain) -> None:
    """Refuse what draws its code in another way; a trace in training mode does not show it."""
    kinds = [layer.kind for layer in chain.layers]
    if getattr(model, "reparameterized", False) is not True:
        raise NotAChain("it is a variational autoencoder that only it knows how to train: it is not `reparameterized`")
    if any(layer.reference >= 0 for layer in chain.layers[: kinds.index(LayerKind.BOTTLENECK)]):
        raise NotAChain("a constrained layer comes before the code that is drawn")
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd | nn.modules.batchnorm._BatchNorm):
            raise NotAChain(f"{name} computes something else in training mode")
