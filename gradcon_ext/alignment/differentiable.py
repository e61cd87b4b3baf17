"""Where passes run that gradients are taken of, whatever the caller's modes are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from gradcon_ext.alignment.prepared import Prepared


@contextmanager
def differentiable(prepared: Prepared) -> Iterator[None]:
    """Take part in autograd.

    cuDNN differentiates recurrent layers in training mode only; in eval mode they run without it, slower.
    """
    with torch.inference_mode(False), torch.enable_grad():
        if _recurs_in_eval_mode(prepared):
            with torch.backends.cudnn.flags(enabled=False):
                yield
        else:
            yield


def _recurs_in_eval_mode(prepared: Prepared) -> bool:
    recurrent = (module for module in prepared.model.modules() if isinstance(module, nn.RNNBase))
    return any(
        (prepared.in_eval_mode or not module.training) and any(weight.is_cuda for weight in module.parameters())
        for module in recurrent
    )
