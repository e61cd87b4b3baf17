"""That .ci/emulated-ops runs the tests of the ops on what it says."""

from __future__ import annotations

import ctypes
import os

import pytest
import torch

from gradcon_ext.ops import conv_grad_alignment, linear_grad_alignment, running_mean_cosine_, score_autoencoder
from support.chain_arguments import paper_arguments

LIBRARY = os.environ.get("GRADCON_EMULATED_OPS")


@pytest.mark.skipif(LIBRARY is None, reason="the ops are those of the CPU")
def test_every_op_launches_kernels() -> None:
    launches = ctypes.c_int64.in_dll(ctypes.CDLL(LIBRARY), "emulated_launches")
    x, weight = torch.ones(2, 3, 4, 4), torch.ones(1, 3, 3, 1, 1)
    for op in (
        lambda: conv_grad_alignment(x, x, weight),
        lambda: linear_grad_alignment(x[:, :, 0, 0], x[:, :, 0, 0], torch.ones(3, 3)),
        lambda: running_mean_cosine_(torch.ones(5), torch.ones(5), 1),
        lambda: score_autoencoder(*paper_arguments(samples=1)),
    ):
        before = launches.value
        op()
        assert launches.value > before
