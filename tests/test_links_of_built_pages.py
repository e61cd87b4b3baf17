"""The check of built pages' links, .ci/check_links.py, finds what is wrong and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[1] / ".ci" / "check_links.py"
REPOSITORY = "https://github.com/gradcon-ext/gradcon_ext/blob/main"


def check(folder: Path, link: str) -> subprocess.CompletedProcess[str]:
    (folder / "other.html").write_text('<p id="here">text</p>', encoding="utf-8")
    (folder / "page.html").write_text(f'<a id="top" href="{link}">text</a>', encoding="utf-8")
    return subprocess.run([sys.executable, CHECK, folder], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "link",
    [
        "other.html",
        "other.html#here",
        "#top",
        f"{REPOSITORY}/README.md",
        "https://example.org/other",
        "mailto:a@b.example",
    ],
)
def test_a_link_that_leads_somewhere(link, tmp_path) -> None:
    assert check(tmp_path, link).returncode == 0


@pytest.mark.parametrize("link", ["another.html", "other.html#there", "#bottom", f"{REPOSITORY}/README.rst"])
def test_a_link_that_leads_nowhere_is_named(link, tmp_path) -> None:
    result = check(tmp_path, link)
    assert result.returncode == 1
    assert f"page.html: {link}: " in result.stdout


def test_no_pages_are_no_success(tmp_path) -> None:
    assert subprocess.run([sys.executable, CHECK, tmp_path], capture_output=True, check=False).returncode == 1
