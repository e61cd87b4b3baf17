"""The compiled ops. Each has the same name in `csrc/ops.cpp`, `oracle` and `tests/ops`."""

from gradcon_ext.ops.conv_grad_alignment import conv_grad_alignment
from gradcon_ext.ops.conv_grad_l1_norm import conv_grad_l1_norm
from gradcon_ext.ops.linear_grad_alignment import linear_grad_alignment
from gradcon_ext.ops.objective_gradient import objective_gradient
from gradcon_ext.ops.running_mean_cosine import running_mean_cosine_
from gradcon_ext.ops.score_autoencoder import score_autoencoder

__all__ = [
    "conv_grad_alignment",
    "conv_grad_l1_norm",
    "linear_grad_alignment",
    "objective_gradient",
    "running_mean_cosine_",
    "score_autoencoder",
]
