"""Random numbers that are not torch's."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from functools import partial
from typing import Any


class Draws:
    """Tells whether Python's or numpy's global random numbers were drawn since it was made."""

    def __init__(self) -> None:
        self._before = [(name, str(state())) for name, state in _states().items()]

    def whose(self) -> str | None:
        """Name of the module whose numbers were drawn, if any."""
        states = _states()
        return next((name for name, before in self._before if str(states[name]()) != before), None)


def _states() -> dict[str, Callable[[], Any]]:
    states: dict[str, Callable[[], Any]] = {"random": random.getstate}
    if "numpy" in sys.modules:
        states["numpy.random"] = partial(sys.modules["numpy"].random.get_state, legacy=False)
    return states
