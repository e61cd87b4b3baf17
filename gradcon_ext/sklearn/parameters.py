"""What a detector of scikit-learn, and that of PyOD, are constructed with."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from gradcon_ext.data.whole_numbers import is_whole
from gradcon_ext.detector.parts import PARTS


@dataclass(eq=False, repr=False)
class Parameters:
    """Those of both, which `GradConDetector` describes; each has a contamination of its own beside them.

    The constructor that a dataclass makes is what `get_params` of both libraries asks of one: its signature names each
    parameter, which is kept as it is.
    """

    image_shape: tuple[int, ...] | None = None
    _: KW_ONLY
    part: str = "balanced"
    epochs: int | None = None
    lead_in: int | None = None
    alpha: float | None = None
    width: int = 32
    latent: int | None = None
    learning_rate: float = 1e-3
    batch_size: int = 64
    validation_fraction: float = 0.1
    random_state: int | np.random.RandomState | None = None
    device: str = "cpu"

    def _check_parameters(self) -> None:
        """Raise ValueError for what neither the trainer nor scikit-learn checks."""
        if self.part not in PARTS:
            raise ValueError(f"there is no part {self.part!r} of a score; expected one of {', '.join(PARTS)}")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must be above 0 and below 1, got {self.validation_fraction!r}")
        for name, value in {"width": self.width, "latent": 1 if self.latent is None else self.latent}.items():
            if not is_whole(value, 1):
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
