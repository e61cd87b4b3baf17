"""Torchvision beside a torch that it was not made for, as pip installs it beside one of the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch


@contextmanager
def torchvision_importable() -> Iterator[None]:
    """Let torchvision be imported where its operators cannot be loaded; nothing that is tested calls them."""
    register_fake = torch.library.register_fake

    def register_if_there(name: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        def register(function: Any) -> Any:
            try:
                return register_fake(name, *args, **kwargs)(function)
            except RuntimeError:
                return function

        return register

    with patch("torch.library.register_fake", register_if_there):
        yield
