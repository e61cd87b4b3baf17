"""What the gradient loss counts for in a balanced score: nothing, where it does not notice damage at all.

Whether it tells anything depends on how a training went. The decoder that is trained after a lead-in is given a code
that it has no part in, and on some images, by some first weights, gradients of outliers then point along the average as
much as those of inliers, or more (results/README.md).
"""

from __future__ import annotations

from dataclasses import replace

import torch

from gradcon_ext.data.images import Images
from gradcon_ext.detector.detector import Detector
from gradcon_ext.scoring.image_scoring import scorer_of
from gradcon_ext.scoring.proxy import Proxy, notice_damage

_GRADIENT = "gradient"


def with_gradient_weighed(detector: Detector, held_out: Images, device: str | torch.device) -> tuple[Detector, Proxy]:
    """Return a detector whose balanced score leaves the gradient loss out if that does not notice synthetic damage.

    Args:
        detector: with a balance (see `gradcon_ext.balanced`).
        held_out: inliers that it was not trained on, see `notice_damage`.
        device: to score on.

    Returns:
        The detector, the same where the gradient loss does notice damage, and how well its parts do.

    Raises:
        TypeError: images of another kind or dtype.
        ValueError: bad images, or a detector without a balance.
    """
    balance = detector.balance
    if balance is None:
        raise ValueError("expected a detector with a balance; see gradcon_ext.balanced")
    proxy = notice_damage(scorer_of(detector, device), held_out)
    if proxy.notices(_GRADIENT):
        return detector, proxy
    left_out = replace(balance, weights={**balance.weights, _GRADIENT: 0.0})
    detector = replace(detector, balance=left_out, calibration=None)
    return detector, notice_damage(scorer_of(detector, device), held_out)
