"""Which of the two ways a model is computed in."""

from __future__ import annotations

from typing import NamedTuple

from gradcon_ext.chain.chain import Chain


class Engine(NamedTuple):
    """What computes a model for images of one shape.

    Attributes:
        name: "fused chain", which runs the whole model as one program, or "any model", which runs the model itself.
        reason: why it is this one.
        chain: what the fused chain runs.
    """

    name: str
    reason: str
    chain: Chain | None = None
