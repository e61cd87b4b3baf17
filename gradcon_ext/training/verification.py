"""Whether a fused training step is the one that automatic differentiation takes, found out by taking it once."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gradcon_ext.chain.chain import Chain
from gradcon_ext.chain.draws import Draws
from gradcon_ext.chain.surroundings import differentiable
from gradcon_ext.data.pixels import is_bytes, like_weight
from gradcon_ext.losses import Loss
from gradcon_ext.training.constraint import GradientConstraint
from gradcon_ext.training.fused_step import fused_step


def has_gradient_hooks(model: nn.Module) -> bool:
    """Whether a hook would see or change the gradient of a parameter."""
    return any(
        parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None)
        for parameter in model.parameters()
    )


def check_step(
    chain: Chain, model: nn.Module, loss: Loss, constraint: GradientConstraint, images: Tensor
) -> str | None:
    """Return what disagrees between a fused step and automatic differentiation on a copy of the model, or None.

    Where a step disagrees in float32, by which side of zero an activation falls on, float64 decides.

    Args:
        chain: what the model is in training.
        model: in training mode; neither it nor the global random numbers are changed.
        loss: of single samples.
        constraint: of weights of the model, not changed.
        images: (N, C, H, W), uint8 (0 to 255) or of the dtype of the parameters.
    """
    with differentiable(images.device):
        reason = _disagreement(chain, copy.deepcopy(model), loss, constraint, images)
        if reason is None or _weight_of(constraint).dtype != torch.float32:
            return reason
        exact = _disagreement(chain, copy.deepcopy(model).double(), loss, constraint, images)
    return reason if exact is not None else None


def _disagreement(
    chain: Chain, model: nn.Module, loss: Loss, constraint: GradientConstraint, images: Tensor
) -> str | None:
    """The same on a model that may be changed, in its precision."""
    model.zero_grad()
    parameters = dict(model.named_parameters())
    own = GradientConstraint({name: parameters[name] for name in constraint.weights}, constraint.alpha)
    own.load_state_dict(constraint.state_dict())
    pixels = like_weight(images, _weight_of(own))
    before = [tensor.clone() for tensor in (*model.parameters(), *model.buffers())]
    with torch.random.fork_rng(devices=[]):
        state = torch.get_rng_state()
        computed = fused_step(chain, model, own, images if is_bytes(images) else pixels)
        drawn = torch.get_rng_state()
        torch.set_rng_state(state)
        draws = Draws()
        try:
            losses = loss(model(pixels), pixels)
            own.backward(losses.total.mean())
        except Exception as error:  # Whatever a forward raises on real numbers.
            return f"automatic differentiation of it fails: {type(error).__name__}: {error}"
        if draws.whose() is not None or not torch.equal(torch.get_rng_state(), drawn):
            return "it draws other random numbers than the fused engine"
    if not all(map(torch.equal, before, (*model.parameters(), *model.buffers()))):
        return "its forward changes the model"
    given = {source.name: gradient for source, gradient in zip(chain.parameters, computed.gradients, strict=True)}
    names = [name for name, parameter in parameters.items() if parameter.requires_grad]
    expected = [_gradient(parameters[name]) for name in names]
    fused = [given.get(name, torch.zeros_like(parameters[name])) for name in names]
    pairs = zip(["losses", "latent losses", *names], [*computed[:2], *fused], [*losses, *expected], strict=True)
    wrong = _differing((name, left, right.detach()) for name, left, right in pairs)
    return f"{wrong} of the fused step and of automatic differentiation differ" if wrong else None


def _weight_of(constraint: GradientConstraint) -> Tensor:
    return next(iter(constraint.weights.values()))


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _differing(triples: Iterable[tuple[str, Tensor, Tensor]]) -> str | None:
    """The first name whose tensors differ by more than rounding: by the root of the epsilon of their own norm.

    What is left of sums that cancel is nothing but rounding; it is small beside the largest entry of all.
    """
    pairs = list(triples)
    largest = max(float(right.abs().max()) for _, _, right in pairs[2:])
    for index, (name, left, right) in enumerate(pairs):
        eps = torch.finfo(right.dtype).eps
        rounding = 100 * eps * (largest if index >= 2 else 1.0)
        if not float((left - right).norm()) <= 3 * eps**0.5 * float(right.norm()) + rounding:
            return name
    return None
