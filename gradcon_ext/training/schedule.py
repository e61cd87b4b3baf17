"""How the learning rate changes from epoch to epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from torch.optim import Optimizer

Shape: TypeAlias = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class Schedule:
    """A learning rate that rises in the first epochs, and then keeps its value or falls towards 0.

    It is the same for all steps of an epoch, and never 0: of n epochs after the warm-up, number k (from 0) has the
    share 1 - k / n ("linear") or (1 + cos(pi k / n)) / 2 ("cosine") of `lr`.

    Attributes:
        lr: the highest learning rate.
        shape: how it goes on after the warm-up.
        warmup: epochs in which it rises by equal parts, the last of which has `lr`.
        epochs: of the run, warm-up included.
    """

    lr: float
    shape: Shape
    warmup: int
    epochs: int

    @property
    def is_constant(self) -> bool:
        """Whether every epoch has the same learning rate."""
        return self.shape == "constant" and self.warmup == 0

    @property
    def facts(self) -> dict[str, Any] | None:
        """What shapes it beside `lr`, as JSON holds it; None where it is constant."""
        if self.is_constant:
            return None
        length = {} if self.shape == "constant" else {"epochs": self.epochs}
        return {"shape": self.shape, "warmup": self.warmup, **length}

    def check(self) -> None:
        """Raise ValueError for what is out of range."""
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be finite and positive, got {self.lr:g}")
        if self.shape not in get_args(Shape):
            raise ValueError(f"schedule must be one of {get_args(Shape)}, got {self.shape!r}")
        if self.shape != "constant" and self.warmup >= self.epochs:
            raise ValueError(f"warmup={self.warmup} leaves none of {self.epochs} epochs to a schedule {self.shape!r}")

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        if epoch < self.warmup:
            return self.lr * (epoch + 1) / self.warmup
        if self.shape == "constant":
            return self.lr
        done = (epoch - self.warmup) / (self.epochs - self.warmup)
        return self.lr * (1 - done if self.shape == "linear" else (1 + math.cos(math.pi * done)) / 2)

    def apply(self, optimizer: Optimizer, epoch: int) -> None:
        """Give an optimizer the learning rate of an epoch."""
        if self.is_constant:
            return
        for group in optimizer.param_groups:
            if isinstance(group["lr"], float):
                group["lr"] = self.rate(epoch)
            else:  # a tensor, which a CUDA graph may have captured
                group["lr"].fill_(self.rate(epoch))
