"""All code of README.md, CONTRIBUTING.md and docs/ is run, here or elsewhere, or stands with a reason in a list."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcon_ext import data
from gradcon_ext.cli import _parser, main
from support.libraries import library
from support.pages import BLOCK, PAGES, ROOT, blocks_of, commands_in, commands_of, words_of
from support.stated_numbers import assert_printed_as_stated
from support.threads import torch_threads

RUN = ("README.md", "start.md", "images.md", "deployment.md", "export.md", "tiles.md", "where.md")
"""Pages whose commands and Python are run here, in their order."""
SERVER = "tests/serving/test_server.py"
ELSEWHERE = {
    "pip install .": ".ci/run",
    "pip install . && gradcon demo": ".ci/run",
    "pip install '.[test]' && pytest -n 3 --dist loadfile": ".ci/run",
    "nox -s lint test": ".ci/run",
    "pip install '.[ray]'": ".ci/extras",
    "pip install '.[serve]'": ".ci/extras",
    "GRADCON_RUNTIME=1 pip install '.[serve]'": ".ci/runtime-alone",
    "gradcon serve runs/photos --port 8000": SERVER,
    "python -m gradcon_ext.serving runs/photos --port 8000": SERVER,
    "curl -F image=@one.png -F image=@other.jpg 'http://127.0.0.1:8000/score?heat_map=true'": SERVER,
    "curl -H 'content-type: image/png' --data-binary @one.png http://127.0.0.1:8000/score": SERVER,
    "gradcon score runs/photos /shared/photos --out /shared/scores --ray": "tests/ray/test_job.py",
}
NOT_RUN = {
    "gradcon download mnist fashion-mnist cifar10 --data-root data": "needs the network",
    "gradcon reproduce table3 --data-root data --seeds 1 --epochs 50": "hours of training; in .ci/run 2 epochs",
    "gradcon reproduce table3 --data-root /shared/data --out /shared/results --ray": "hours of training",
    "gradcon score runs/photos s3://bucket/photos --out s3://bucket/scores --ray 10.0.0.1:6379": "needs a bucket",
    "pytest benchmarks/test_score.py benchmarks/test_any_model.py": "measures, alone on the machine",
    "pip install setuptools ninja pybind11 'torch>=2.10'": "sets up the environment that this runs in",
    "pip install --no-build-isolation -e '.[test,dev]'": "sets up the environment that this runs in",
}
"""Commands, and why; those of gradcon are parsed."""
PYTHON_ELSEWHERE = {
    "serving.md": SERVER,
    "estimators.md": "tests/test_estimators_page.py",
    "classifier.md": "tests/test_estimators_page.py",
}
PYTHON = [
    pytest.param(block, id=f"{name} {number}")
    for name in PAGES
    if name not in {*RUN, *PYTHON_ELSEWHERE}
    for number, block in enumerate(blocks_of(name, "python"), 1)
]

CHEAP = {
    "demo": ["--epochs", "1"],
    "train": ["--epochs", "1", "--lead-in", "1", "--overwrite", "--width", "4", "--quiet"],
    "--resume": ["--epochs", "1", "--quiet"],
}
CHEAP_TRAINING = {"--tile": ["--tiles", "100"], "--features": ["--tiles", "100", "--size", "64", "--grid", "4"]}
COUNTS = {"normal-images": 60, "new-images": 4, "good": 5, "faulty": 5}
PHOTOGRAPHS = {"train/good": 40, "test/good": 5, "test/blowhole": 3, "test/crack": 3}


def run_python(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A block that begins with the name of a file is one."""
    if block.startswith("# ") and block.split()[1].endswith(".py"):
        Path(block.split()[1]).write_text(block, encoding="utf-8")
    capsys.readouterr()
    exec(compile(block, "page", "exec"), {})
    printed = capsys.readouterr().out
    assert ("print(" in block) == bool(printed)
    assert_printed_as_stated(block, printed)


def run_gradcon(command: str) -> None:
    words = words_of(command)
    cheap = list(CHEAP.get("--resume" if "--resume" in words else words[0], []))
    if words[0] == "train":
        cheap += [option for name, options in CHEAP_TRAINING.items() if name in words for option in options]
    assert main([*words, *cheap]) == 0, command


def write_photographs(folder: Path) -> None:
    """In the layout of MVTec AD, with a square in those that have a mask."""
    draw = np.random.default_rng(0)
    for name, count in PHOTOGRAPHS.items():
        (folder / name).mkdir(parents=True)
        masks = folder / "ground_truth" / Path(name).name
        masks.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            photograph = Image.fromarray(draw.integers(100, 150, (40, 60), np.uint8))
            if masks.name != "good":
                mask = Image.new("L", photograph.size)
                for each in (photograph, mask):
                    each.paste(255, (10, 10, 20, 20))
                mask.save(masks / f"{number}_mask.png")
            photograph.save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with those of images that pages speak of, and a detector where they take one for granted."""
    folder = tmp_path_factory.mktemp("prepared")
    digits = iter(data.load("digits").train.images)
    for name, count in COUNTS.items():
        (folder / name).mkdir()
        for number in range(count):
            Image.fromarray(next(digits)[0]).save(folder / name / f"{number}.png")
    write_photographs(folder / "magnetic-tile")
    with pytest.MonkeyPatch.context() as patch, torch_threads(1):
        patch.chdir(folder)
        run_gradcon("gradcon train --images normal-images --out runs/mine")
    shutil.copytree(folder / "runs/mine", folder / "runs/photos")
    return folder


@pytest.fixture
def folders(prepared, tmp_path, monkeypatch):
    """That folder, to be at work in."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("block", PYTHON)
def test_the_python_runs(block, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    run_python(block, capsys)


@pytest.mark.parametrize("name", RUN)
def test_the_page_runs(name, folders, capsys) -> None:
    if name == "tiles.md":
        library("efficientnet_lite_pytorch")
    with torch_threads(1):
        for language, block in BLOCK.findall(PAGES[name]):
            if language == "python":
                run_python(block, capsys)
            elif language == "bash":
                for command in commands_in(block):
                    if command not in ELSEWHERE.keys() | NOT_RUN.keys():
                        run_gradcon(command)


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_are_understood(name) -> None:
    for command in commands_of(name):
        options_are_elsewhere = "train.toml" in command or "--resume" in command
        if "gradcon " in command and not options_are_elsewhere:
            assert _parser().parse_args(words_of(command)).run, command


def test_what_is_not_run_here_is_run_elsewhere_or_has_a_reason() -> None:
    listed = ELSEWHERE.keys() | NOT_RUN.keys()
    assert listed <= {command for name in PAGES for command in commands_of(name)}
    assert {command for name in PAGES if name not in RUN for command in commands_of(name)} <= listed
    assert PYTHON_ELSEWHERE.keys() <= PAGES.keys()
    for path in (*ELSEWHERE.values(), *PYTHON_ELSEWHERE.values()):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("name", PAGES)
def test_all_code_is_in_blocks_of_a_known_language(name) -> None:
    """Where text is output or a drawing, and a name in braces is a directive of the documentation."""
    for language, _ in BLOCK.findall(PAGES[name]):
        assert language in ("bash", "python", "text") or language.startswith("{"), language
    outside = BLOCK.sub("", PAGES[name])
    assert "```" not in outside
    assert "\n\n    " not in outside, "code that is only indented"
