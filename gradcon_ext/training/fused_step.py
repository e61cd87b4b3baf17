"""A training step of a chain as one fused program."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradcon_ext.chain.chain import Chain, LayerKind
from gradcon_ext.chain.tracing import parameters_of
from gradcon_ext.ops import objective_gradient
from gradcon_ext.ops.objective_gradient import ObjectiveGradient
from gradcon_ext.training.constraint import GradientConstraint


def fused_step(chain: Chain, model: nn.Module, constraint: GradientConstraint, images: Tensor) -> ObjectiveGradient:
    """Differentiate the objective of a batch; nothing is changed but torch's random numbers, where a code is drawn.

    Args:
        chain: what the model is in training.
        model: whose parameters are read.
        constraint: of weights of the model.
        images: (N, C, H, W), uint8 (0 to 255) or of the dtype of the parameters.
    """
    parameters = parameters_of(chain, model)
    return objective_gradient(
        images,
        parameters,
        list(constraint.references.values()),
        chain.encoded,
        _noise(chain, len(images), parameters[0]),
        constraint.active_alpha,
    )


def _noise(chain: Chain, samples: int, weight: Tensor) -> Tensor | None:
    """The numbers that `torch.randn_like` of the code would draw."""
    sizes = [layer.shape[0] for layer in chain.layers if layer.kind == LayerKind.BOTTLENECK]
    return torch.randn(samples, sizes[0], dtype=weight.dtype, device=weight.device) if sizes else None
