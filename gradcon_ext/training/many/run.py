"""One of many training runs."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import nn

from gradcon_ext.data.images import Images
from gradcon_ext.detector.detector import Detector
from gradcon_ext.training.progress import Progress
from gradcon_ext.training.trainer import Trainer

TrainVal: TypeAlias = tuple[Images, Images]
"""Images for training and for validation."""

Event: TypeAlias = Progress | Detector | Exception
"""What becomes of a run: any number of times how far it is, then what it made, or why it made nothing."""


@dataclass(frozen=True)
class Run:
    """What one of many training runs is given.

    Attributes:
        name: tells it from the others.
        model: begins with the parameters that it has; a copy is trained.
        images: for training and for validation, of any kind that `Trainer.fit` takes; or what loads the two, called
            when the run begins. Of arrays and tensors in several runs there is one copy for all runs; of what is
            loaded, one for each run under way.
        out: a folder of its own; see `Trainer`.
        trainer: further arguments of `Trainer` by name, such as `alpha`, `epochs` and `seed`.
    """

    name: str
    model: nn.Module
    images: TrainVal | Callable[[], TrainVal]
    out: str | os.PathLike[str] | None = None
    trainer: Mapping[str, Any] = field(default_factory=dict)

    def events(self, device: torch.device, resume: bool) -> Generator[Progress | Detector, None, None]:
        """Train, a batch at a time; see `Trainer.steps`."""
        train, val = self.images() if callable(self.images) else self.images
        trainer = Trainer(copy.deepcopy(self.model), device=device, out=self.out, progress=False, **self.trainer)
        yield from trainer.steps(train, val, resume)
