"""The built documentation in a browser, on a telephone and on a desk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def pages() -> list[str]:
    folder = os.environ.get("GRADCON_DOCS")
    if folder is None:
        pytest.skip("GRADCON_DOCS names no folder of pages, as .ci/docs builds them")
    return sorted(path.as_uri() for path in Path(folder).rglob("*.html"))


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_scrolls_sideways_and_all_images_load(browser: Any, pages: list[str], width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    assert pages
    for address in pages:
        page.goto(address)
        assert page.evaluate("document.querySelector('.content').scrollWidth") <= width, address  # what furo scrolls
        assert page.evaluate("[...document.images].filter(it => it.naturalWidth === 0).map(it => it.src)") == [], (
            address
        )
    page.close()
