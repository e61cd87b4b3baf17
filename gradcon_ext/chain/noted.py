"""What is noted of the objects that a model's Python code can look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn


class Noted:
    """What is compared, and what cannot be.

    Attributes:
        modules, tensors: of the models, and others that are within reach.
        mappings: whose values are compared by identity.
        members: of further mappings, by their names, that are, also where a name stands for nothing yet.
        readers: of further objects that are.
        contents: readers of what is compared by value.
        unseen: something that code may read and that cannot be compared, if any.
        by_identity: what code knows objects by that are others in a copy, if anything.
        generators: of random numbers.
        names: that stand in the user's code, any of which may be an attribute's.
        seen: all that was looked at, by its id, which is another object's once it is gone.
    """

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []
        self.tensors: list[Tensor] = []
        self.mappings: list[Mapping[Any, Any]] = []
        self.members: list[tuple[Mapping[Any, Any], tuple[str, ...]]] = []
        self.readers: list[Callable[[], Iterable[Any]]] = []
        self.contents: list[Callable[[], Any]] = []
        self.unseen: str | None = None
        self.by_identity: str | None = None
        self.generators: list[Any] = []
        self.names: set[str] = set()
        self.seen: dict[int, Any] = {}

    def note_unseen(self, what: str | None) -> None:
        """Note something that cannot be compared, unless there is one already."""
        self.unseen = self.unseen or what

    def note_identity(self, what: str) -> None:
        """Note what code knows objects by."""
        self.by_identity = what
        self.note_unseen(what)

    def read_names(self, members: Mapping[str, Any], names: Iterable[str]) -> None:
        """Compare what names stand for, also those that stand for nothing yet."""
        if names := tuple(names):
            self.members.append((members, names))
