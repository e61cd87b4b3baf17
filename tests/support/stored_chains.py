"""Chains of layers with their numbers, as they are exported."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from gradcon_ext.chain.tracing import parameters_of, trace_chain
from gradcon_ext.detector.stored_chain import StoredChain
from gradcon_ext.losses import Loss, loss_of


def stored_chain(
    model: nn.Module, references: dict[str, torch.Tensor], image_shape: Sequence[int], loss: Loss | None = None
) -> StoredChain:
    chain = trace_chain(model, list(references), loss or loss_of(model), image_shape)
    parameters = [parameter.numpy() for parameter in parameters_of(chain, model)]
    return StoredChain(chain, parameters, [reference.numpy() for reference in references.values()], 0.12)


def random_references(model: nn.Module) -> dict[str, torch.Tensor]:
    """Of all weights that may have one, but for those of a bottleneck."""
    return {
        f"{name}.weight": torch.randn_like(module.weight).detach()
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and name not in ("mean", "log_variance")
    }
