from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from gradcon_ext.serving.app import create_app
from gradcon_ext.serving.detector import ServedDetector
from gradcon_ext.serving.settings import Settings
from support.served import write_detector
from support.threads import torch_threads


@pytest.fixture(scope="session")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch_threads(1):
        return write_detector(tmp_path_factory.mktemp("served") / "small.safetensors")


@pytest.fixture(scope="session")
def detector(detector_file: Path) -> ServedDetector:
    return ServedDetector.load(detector_file)


@pytest.fixture
def serving(detector: ServedDetector) -> Iterator[Callable[..., TestClient]]:
    """Serves a detector, by default the small one, within limits."""
    with ExitStack() as stack:

        def serve(served: ServedDetector = detector, **limits: float) -> TestClient:
            app = create_app(served, Settings(**{"threads": 2, **limits}))
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield serve


@pytest.fixture
def client(serving: Callable[..., TestClient]) -> TestClient:
    return serving()
