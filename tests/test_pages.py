"""What README.md and the pages of docs/ say can be done: Python, commands, links, and a command beside each picture."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

import gradcon_ext
from gradcon_ext import data
from gradcon_ext.cli import _parser, main
from support.stated_numbers import assert_printed_as_stated
from support.threads import torch_threads

ROOT = Path(__file__).parents[1]
DOCS = sorted(ROOT.glob("docs/**/*.md"))
PAGES = {path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *DOCS]}
MARKDOWN = [*ROOT.glob("*.md"), *DOCS, *ROOT.glob("results/*.md"), *ROOT.glob("benchmarks/**/*.md")]

WITH_TESTS_OF_THEIR_OWN = ("serving.md", "estimators.md", "classifier.md")
PYTHON = [
    pytest.param(block, id=f"{name} {number}")
    for name, text in PAGES.items()
    if name not in WITH_TESTS_OF_THEIR_OWN
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL), 1)
]

RUN = ("README.md", "start.md", "images.md", "deployment.md", "export.md")
"""Pages whose commands are run, in their order; those of others need data sets, or end only when they are told to."""
ONLY_PARSED = ("download", "reproduce", "serve")
CHEAP = {"demo": ["--epochs", "1"], "train": ["--epochs", "1", "--overwrite", "--width", "4", "--quiet"]}
COUNTS = {"normal-images": 60, "new-images": 4, "good": 5, "faulty": 5}


def commands_of(text: str) -> list[list[str]]:
    """The lines of code that call gradcon, as words."""
    lines = re.findall(r"^(?:    )?(?:.* && )?(gradcon .*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


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


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A folder with those of images that pages speak of, and a detector where they take one for granted."""
    monkeypatch.chdir(tmp_path)
    digits = iter(data.load("digits").train.images)
    for name, count in COUNTS.items():
        Path(name).mkdir()
        for number in range(count):
            Image.fromarray(next(digits)[0]).save(Path(name, f"{number}.png"))
    for name in ("runs/mine", "runs/photos"):
        assert main(["train", "--images", "normal-images", "--out", name, *CHEAP["train"]]) == 0


@pytest.mark.parametrize("block", PYTHON)
def test_the_python_runs(block, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "page", "exec"), {})
    printed = capsys.readouterr().out
    assert ("print(" in block) == bool(printed)
    assert_printed_as_stated(block, printed)


@pytest.mark.parametrize("name", RUN)
def test_the_commands_run(name, folders) -> None:
    with torch_threads(1):
        for words in commands_of(PAGES[name]):
            if words[0] not in ONLY_PARSED:
                assert main([*words, *CHEAP.get(words[0], [])]) == 0, words


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_are_understood(name) -> None:
    for words in commands_of(PAGES[name]):
        if "train.toml" not in str(words):  # read where it is written: in the test above
            assert _parser().parse_args(words).run, words


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
