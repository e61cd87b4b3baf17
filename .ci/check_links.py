"""Checks the links of built pages: to each other, to anchors, and to files of this repository. Uses no network.

Usage: check_links.py FOLDER
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "/gradcon-ext/gradcon_ext/blob/main/"
_GENERATED = ("genindex.html", "py-modindex.html", "search.html")


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag links to, and what it can be linked by."""
        attributes = {name: value for name, value in attrs if value}
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        self.anchors |= {attributes[name] for name in ("id", "name") if name in attributes}


def problem(link: str, page: Path, pages: dict[Path, Page]) -> str | None:
    """Say what is wrong with a link of a page, if anything is."""
    parts = urlsplit(link)
    if parts.netloc == "github.com" and parts.path.startswith(REPOSITORY):
        file = ROOT / unquote(parts.path.removeprefix(REPOSITORY))
        return None if file.exists() else f"there is no {file.relative_to(ROOT)} in the repository"
    if parts.scheme or parts.netloc:
        return None
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.exists():
        return "there is no such file"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return "there is no such anchor"
    return None


def main() -> int:
    """Print what is wrong, a line a link."""
    folder = Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in sorted(folder.rglob("*.html")) if path.name not in _GENERATED}
    if not pages:
        print(f"there are no pages in {folder}")
        return 1
    links = [(path, link) for path, page in pages.items() for link in page.links]
    wrong = [(path, link, reason) for path, link in links if (reason := problem(link, path, pages))]
    for path, link, reason in wrong:
        print(f"{path.relative_to(folder)}: {link}: {reason}")
    print(f"{len(links)} links of {len(pages)} pages, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
