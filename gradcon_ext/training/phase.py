"""The parts of a run: a lead-in, where there is one, and the training under the constraint."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gradcon_ext.training.dead_start import ATTEMPTS
from gradcon_ext.training.pace import Pace
from gradcon_ext.training.schedule import Schedule


@dataclass(frozen=True)
class Phase:
    """A part of a run, which begins with new references and a new optimizer.

    Attributes:
        alpha: weight of the constraint.
        schedule: of the learning rate.
        pace: how long it goes on.
        first_epoch: epochs of the run before it.
        last_attempt: number of the attempt after which a dead start ends the run.
    """

    alpha: float
    schedule: Schedule
    pace: Pace
    first_epoch: int = 0
    last_attempt: int = ATTEMPTS

    def before(self, lead_in: int) -> tuple[Phase, Phase]:
        """Return a lead-in of so many epochs, and this phase as it comes after it."""
        first = Phase(
            0.0,
            replace(self.schedule, epochs=lead_in),
            replace(self.pace, epochs=lead_in, snapshot_every=None, snapshot_best=()),
        )
        return first, replace(self, first_epoch=lead_in, last_attempt=ATTEMPTS + 1)

    def check(self, has_folder: bool) -> None:
        """Raise ValueError for what is out of range."""
        self.pace.check(has_folder)
        self.schedule.check()
