"""A mixture of logistic distributions over the values 0 to 255 (Salimans et al., 2017, "PixelCNN++", section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

PARAMETERS = 3
"""Of each component: logit of its share, mean, and logarithm of its scale; the values 0 to 255 span -1 to 1."""

LEAST_LOG_SCALE = -7.0

_HALF_STEP = 1 / 255


def log_probability(values: Tensor, parameters: Tensor) -> Tensor:
    """Return the logarithm, in nats, of the probability of each value; over all 256 values they sum to 1.

    Each value has the mass of a bin around it; the first and the last bin reach to infinity.

    Args:
        values: whole numbers from 0 to 255 in floating point, of any shape.
        parameters: (3, K, ...) of a mixture of K components for each.
    """
    logits, means, log_scales = parameters
    sharpness = torch.exp(-log_scales.clamp(min=LEAST_LOG_SCALE))
    centred = values / 127.5 - 1 - means
    is_first, is_last = values == 0, values == 255
    below_upper = logsigmoid(sharpness * (centred + _HALF_STEP)).masked_fill(is_last, 0)
    above_lower = logsigmoid(-sharpness * (centred - _HALF_STEP)).masked_fill(is_first, 0)
    # With upper and lower bounds u and l, sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)).
    between = torch.log(-torch.expm1(-2 * _HALF_STEP * sharpness)).masked_fill(is_first | is_last, 0)
    return torch.logsumexp(torch.log_softmax(logits, 0) + below_upper + above_lower + between, 0)
