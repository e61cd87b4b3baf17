"""Fixtures of all tests, and the one place that decides what is skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from gradcon_ext import build_info

# The machines that tests run on are slow at times, which is no failure.
settings.register_profile("gradcon_ext", deadline=None)
settings.load_profile("gradcon_ext")

EMULATED_OPS = os.environ.get("GRADCON_EMULATED_OPS")
"""The library of .ci/emulated-ops, whose kernels take the place of the CPU's."""
if EMULATED_OPS:
    torch.ops.load_library(EMULATED_OPS)


def pytest_configure(config: pytest.Config) -> None:
    """Workers of pytest-xdist share the cores, so each has one thread, and so has what it starts."""
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _same_numbers_each_time() -> None:
    """What a test draws does not depend on which ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the real data sets, GRADCON_DATA."""
    folder = os.environ.get("GRADCON_DATA")
    if folder:
        return Path(folder)
    if os.environ.get("GRADCON_REQUIRE_DATA") == "1":
        pytest.fail("GRADCON_REQUIRE_DATA=1, but GRADCON_DATA names no folder")
    pytest.skip("needs real data: GRADCON_DATA names its folder")


@pytest.fixture(scope="session", params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn; on a GPU the tests are those of the CPU."""
    if request.param == "cuda":
        lack = _lack_of_cuda()
        if lack and os.environ.get("GRADCON_REQUIRE_CUDA") == "1":
            pytest.fail(f"GRADCON_REQUIRE_CUDA=1, but {lack}")
        if lack:
            pytest.skip(f"needs CUDA: {lack}")
    return str(request.param)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by Playwright."""
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    lack = "Playwright is not installed" if find_spec("playwright") is None else None
    lack = lack or (None if program else f"there is none of {', '.join(_BROWSERS)}")
    if lack and os.environ.get("GRADCON_REQUIRE_BROWSER") == "1":
        pytest.fail(f"GRADCON_REQUIRE_BROWSER=1, but {lack}")
    if lack:
        pytest.skip(f"needs a browser: {lack}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program)
        yield chromium
        chromium.close()


_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def _lack_of_cuda() -> str | None:
    if not torch.cuda.is_available():
        return "torch sees no GPU"
    return None if build_info().cuda_architectures else "gradcon_ext was built without CUDA"
