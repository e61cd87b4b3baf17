"""README.md, CONTRIBUTING.md and the pages of docs/, and the code in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = sorted(ROOT.glob("docs/**/*.md"))
PAGES = {path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]}
BLOCK = re.compile(r"^```(\S+)[^\n]*\n(.*?)^```\n", re.DOTALL | re.MULTILINE)


def blocks_of(name: str, language: str) -> list[str]:
    """A page's blocks of code in a language."""
    return [block for found, block in BLOCK.findall(PAGES[name]) if found == language]


def commands_in(block: str) -> list[str]:
    """Its lines, without comments."""
    return [re.sub(r"\s+#.*", "", line) for line in block.splitlines()]


def commands_of(name: str) -> list[str]:
    """Those of all of a page's blocks."""
    return [command for block in blocks_of(name, "bash") for command in commands_in(block)]


def words_of(command: str) -> list[str]:
    """What follows the name of the program, which is gradcon; the last, where a line has several."""
    return shlex.split(command.rpartition("gradcon ")[2])
