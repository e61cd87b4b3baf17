"""Random numbers that are not torch's."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from typing import Any


class Draws:
    """Tells whether global random numbers of Python or numpy, or some generators', were drawn since it was made.

    Args:
        generators: of Python's `random.Random`, or of numpy.
    """

    def __init__(self, generators: Iterable[Any] = ()) -> None:
        self._generators = list(generators)
        self._before = self._states()

    def whose(self) -> str | None:
        """Name of whose numbers were drawn, if any."""
        after = self._states()
        return next((name for name, before in self._before.items() if after[name] != before), None)

    def _states(self) -> dict[str, str]:
        states = {"random": str(random.getstate())}
        if "numpy" in sys.modules:
            states["numpy.random"] = str(sys.modules["numpy"].random.get_state(legacy=False))
        for number, generator in enumerate(self._generators):
            states[f"a {type(generator).__name__} of its own, number {number}"] = str(_state_of(generator))
        return states


def _state_of(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    holder = getattr(generator, "bit_generator", generator)
    return holder.state if hasattr(holder, "state") else holder.get_state(legacy=False)
