"""Sees the operations of the calling thread, wherever they come from."""

from __future__ import annotations

import os
import threading
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

# Torch notes for the whole process whether code runs in a dispatch mode, and a mode that ends restores the note that it
# found. Of two that overlap in two threads the note would stay, and `torch.compile` would compile nothing any more.
_ONE_AT_A_TIME = threading.RLock()
os.register_at_fork(
    before=_ONE_AT_A_TIME.acquire, after_in_parent=_ONE_AT_A_TIME.release, after_in_child=_ONE_AT_A_TIME.release
)


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context in which every operation is seen. Those of other threads wait for it, and so does a fork."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Operations:
        """Begin to look."""
        _ONE_AT_A_TIME.acquire()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: object) -> None:
        """End that."""
        try:
            super().__exit__(*error)  # type: ignore[no-untyped-call]
        finally:
            _ONE_AT_A_TIME.release()

    def before(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Look at an operation that is about to be done."""

    def after(self, result: Any) -> None:
        """Look at what it returned."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Look at an operation, and do it."""
        self.before(func, args, kwargs or {})
        result = func(*args, **(kwargs or {}))
        self.after(result)
        return result
