from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image

from support.libraries import library

library("ray.cluster_utils")

import pyarrow.parquet as pq

from gradcon_ext.cli import main
from gradcon_ext.data.reading import Preparation
from gradcon_ext.detector.detector import Detector
from gradcon_ext.ray import ScoringJob, score_files
from support.pages import commands_of, words_of
from support.threads import torch_threads

# Ray Data warns of its own settings.
pytestmark = pytest.mark.filterwarnings("ignore:`\\w+` is deprecated:DeprecationWarning:ray.data")

BATCH = 8


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "digits"
    words = ("train", "--dataset", "digits", "--inlier", "2", "--epochs", "1", "--width", "4", "--quiet", "--calibrate")
    with torch_threads(1):
        assert main([*words, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A dozen images, large enough to take a while, under many names, and two files that are none."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(240):
        path = folder / f"{number:04}.png"
        if number < 12:
            Image.fromarray(generator.integers(0, 256, (400, 400, 3), dtype=np.uint8)).save(path)
        elif number in (50, 233):
            path.write_bytes(b"no image")
        else:
            os.link(folder / f"{number % 12:04}.png", path)
    return folder


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    generator = np.random.default_rng(1)
    for number in range(20):
        Image.fromarray(generator.integers(0, 256, (9, 10), dtype=np.uint8)).save(folder / f"{number:02}.png")
    for number in range(8, 16):  # a whole block
        (folder / f"{number:02}.png").write_bytes(b"")
    return folder


@pytest.fixture
def sessions(monkeypatch):
    """Where a process finds no address of a cluster, and writes what its own one logs."""
    with TemporaryDirectory(
        ignore_cleanup_errors=True
    ) as folder:  # whose name is short, as those of sockets have to be
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield Path(folder)


def of_one_machine(run, images, out, *options):
    with torch_threads(1):
        assert main(["score", *map(str, (run, images)), "--out", str(out), "--batch-size", str(BATCH), *options]) == 3
    return [json.loads(line) for line in out.read_text().splitlines()]


def rows_of(files):
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_a_raylet_that_is_killed_loses_no_image_and_repeats_none(nodes, run, photos, tmp_path):
    job, out = ScoringJob([photos], run, batch_size=BATCH, block_size=BATCH), tmp_path / "scores"
    seen = []

    def kill_in_the_middle():
        while len(list(out.glob("part-*"))) < 5:
            time.sleep(0.01)
        nodes.kill(nodes.workers[0])
        seen.append(len(list(out.glob("part-*"))))

    killer = threading.Thread(target=kill_in_the_middle, daemon=True)
    killer.start()
    written = job.write(out)
    killer.join(60)
    (finished,) = seen
    assert 5 <= finished < len(written.files) == 30
    assert (written.images, written.unreadable) == (240, 2)
    assert written.first_unreadable.startswith(f"{photos / '0050.png'}: cannot be read")
    rows = rows_of(sorted(out.glob("*.parquet")))
    assert [row["path"] for row in rows] == [str(path) for path in sorted(photos.iterdir())]
    assert rows == of_one_machine(run, photos, tmp_path / "scores.jsonl")


def test_a_job_goes_on_where_it_was_and_only_that_job(nodes, run, few, tmp_path):
    out = tmp_path / "scores"
    arguments = {"batch_size": 4, "block_size": 8}
    first = ScoringJob([few], run, **arguments).write(out)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()}
    missing = Path(first.files[1])
    missing.unlink()
    (out / ".part-00000002.gradcon-partial-0123abcd.parquet").write_bytes(b"of a worker that was killed")
    assert ScoringJob([few], Detector.load(run), **arguments, actors=1).write(out) == first
    assert before.keys() == {path.name for path in out.iterdir()}
    for path in out.iterdir():
        assert path.read_bytes() == before[path.name][1]
        assert (path.stat().st_mtime_ns == before[path.name][0]) is (path != missing)
    for other in (
        ScoringJob([few / "00.png"], run, **arguments),
        ScoringJob([few], run, batch_size=8, block_size=8),
        ScoringJob([few], run, **arguments, preparation=Preparation(1, (8, 8), "pad")),
    ):
        with pytest.raises(FileExistsError, match="another (images|batch_size|preparation) "):
            other.write(out)
    with pytest.raises(FileExistsError, match="expected a new or empty folder"):
        ScoringJob([few], run).write(few)


@pytest.mark.parametrize("whose", ["that of an address", "its own"])
def test_the_command_writes_the_rows_of_one_machine_by_a_cluster(nodes, sessions, run, few, tmp_path, whose):
    options = ["--false-alarms", "0.2", "--batch-size", "4", "--block-size", "8"]
    address = [nodes.cluster.address] if whose == "that of an address" else []
    words = ["score", run, few, "--out", tmp_path / "scores", *options, "--ray", *address]
    command = [sys.executable, "-m", "gradcon_ext", *map(str, words)]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 3, told.stderr
    assert told.stdout == ""
    assert "images that cannot be read: 8, such as" in told.stderr
    assert "Wrote 20 rows to " in told.stderr and told.stderr.endswith(" in 3 files.\n")
    assert any(sessions.rglob("gcs_server.out")) is (whose == "its own")
    files = sorted((tmp_path / "scores").glob("*.parquet"))
    assert len({pq.read_schema(file).remove_metadata() for file in files}) == 1
    rows = rows_of(files)
    assert {"p_value", "verdict"} <= rows[0].keys()
    expected = of_one_machine(run, few, tmp_path / "few.jsonl", *options[:4])
    assert [list(row) for row in rows] == [list(row) for row in expected]
    assert rows == expected


def test_the_command_in_the_documentation_runs(nodes, run, few, tmp_path):
    (command,) = (line for line in commands_of("cluster.md") if line.endswith("/scores --ray"))
    given = {"/shared/photos": few, "/shared/scores": tmp_path / "scores", "runs/photos": run}
    assert main([str(given.get(word, word)) for word in words_of(command)]) == 3
    assert len(rows_of((tmp_path / "scores").glob("*.parquet"))) == 20


def test_urls(nodes, run, few, tmp_path):
    urls = [f"file://{few}", f"file://{few}/missing.png", "memory://nowhere/else.png"]
    dataset = score_files(urls, run, f"file://{tmp_path}/scores", batch_size=BATCH)
    rows = sorted(dataset.take_all(), key=lambda row: row["path"])
    local = of_one_machine(run, few, tmp_path / "few.jsonl")
    for row, expected in zip(rows[:20], local, strict=True):
        path = f"file://{expected['path']}"
        error = expected["error"] and expected["error"].replace(expected["path"], path)
        assert row == {**expected, "path": path, "error": error}
    missing, nowhere = rows[20:]
    assert missing["error"].startswith("cannot be fetched (") and missing["anomaly"] is None
    assert nowhere["error"].startswith("cannot be fetched (")


def test_rows_that_are_not_written(nodes, run, few):
    dataset = score_files(few, run, batch_size=BATCH)
    rows = {row["path"]: row for row in dataset.take_all()}
    assert sorted(rows) == [str(path) for path in sorted(few.iterdir())]


def test_frames_that_a_list_names(nodes, run, tmp_path):
    frames = [Image.new("L", (8, 8), level) for level in (0, 90, 180)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    (tmp_path / "list.csv").write_text("path,frame\n" + BATCH * "a.tif,\n" + "a.tif,2\ngone.png,\n")
    out = tmp_path / "scores"
    ScoringJob([tmp_path / "list.csv"], run, batch_size=BATCH, block_size=BATCH).write(out)
    rows = rows_of(sorted(out.glob("*.parquet")))
    assert [row["frame"] for row in rows] == [0] * BATCH + [2, 0]
    assert rows == of_one_machine(run, tmp_path / "list.csv", tmp_path / "scores.jsonl")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"actors": 0}, "actors must be at least 1, got 0"),
        ({"batch_size": 4, "block_size": 6}, "multiple of batch_size, 4, got 6"),
        ({"device": "cuda"}, "the cluster has no GPU"),
        ({"paths": []}, "no images"),
    ],
)
def test_arguments_are_checked(nodes, run, few, arguments, message):
    with pytest.raises(ValueError, match=message):
        ScoringJob(**{"paths": [few], "detector": run, **arguments}).dataset()
