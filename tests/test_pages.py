"""What README.md and the pages of docs/ name exists: options, benchmarks, links, and a command beside each picture."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

import gradcon_ext
from gradcon_ext.cli import _parser
from support.pages import DOCS, PAGES, ROOT

MARKDOWN = [*ROOT.glob("*.md"), *DOCS, *ROOT.glob("results/*.md"), *ROOT.glob("benchmarks/**/*.md")]


def mentions_of(text: str) -> list[list[str]]:
    """Commands in running text, of which some are not whole."""
    return [" ".join(found.split()).split()[1:] for found in re.findall(r"`(gradcon [a-z][^`]*)`", text)]


def options_of(command: str) -> set[str]:
    (subparsers,) = (action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    return {option for action in subparsers.choices[command]._actions for option in action.option_strings}


def slugs_of(path: Path) -> set[str]:
    """The anchors that GitHub gives to a file's headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", each).lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_in_the_text_have_their_options(name) -> None:
    for command, *words in mentions_of(PAGES[name]):
        options = {word.split("=")[0] for word in words if word.startswith("--")}
        assert options <= options_of(command), (command, words)


@pytest.mark.parametrize("name", PAGES)
def test_benchmarks_and_tests_that_are_named_exist(name) -> None:
    for module in re.findall(r"python -m\s+(benchmarks[\w.]*)", PAGES[name]):
        assert (ROOT / module.replace(".", "/")).is_dir() or (ROOT / f"{module.replace('.', '/')}.py").is_file()
    for path in re.findall(r"(?:benchmarks|tests)/[\w/]*\.py", PAGES[name]):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", path.read_text(encoding="utf-8")):
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), target
        assert not anchor or anchor in slugs_of(file), f"{target}#{anchor}"


@pytest.mark.parametrize("name", PAGES)
def test_the_command_of_a_picture_stands_beside_it(name) -> None:
    for after in re.split(r"^!\[.*\]\(.*\)\n", PAGES[name], flags=re.MULTILINE)[1:]:
        paragraph = after.strip().split("\n\n")[0]
        assert re.search(r"`(gradcon reproduce|python -m benchmarks)|command of this picture", paragraph), paragraph


@pytest.mark.parametrize("name", sorted({*gradcon_ext.__all__} - {"__version__"}))
def test_the_api_page_has_every_public_name(name) -> None:
    assert re.search(rf"^\.\. auto\w+:: (?:gradcon_ext\.)?{name}$", PAGES["api.md"], re.MULTILINE)


def test_the_readme_is_short() -> None:
    assert PAGES["README.md"].count("\n") <= 150
