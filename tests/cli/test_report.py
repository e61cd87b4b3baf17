from __future__ import annotations

import os
import re
import sys

import pytest
from PIL import Image

from gradcon_ext.cli.image_reader import ImageReader
from gradcon_ext.cli.images_to_score import FilesToScore
from gradcon_ext.cli.report_images import score_files
from gradcon_ext.data import ImageFolder, read_image_folder
from gradcon_ext.data.reading import Preparation
from gradcon_ext.detector.parts import part_of
from gradcon_ext.scoring.scorer import Scorer

NAMES = [
    b"<script>document.title=1<script>.png",
    b"' onload='x' \".png",
    b"two\nlines.png",
    "\u05e9\u05dc\u05d5\u05dd.png".encode(),
    "\U0001f600.png".encode(),
    b"not \xff UTF-8.png",
]


def body(path):
    return re.sub('<script>\n.*</script>|src="[^"]*"', "", path.read_text().split("<body>")[1], flags=re.DOTALL)


def test_a_report(gradcon, digits_run, write_photos, tmp_path):
    folder, out = write_photos(tmp_path / "photos"), tmp_path / "report.html"
    (folder / "broken.png").write_bytes(b"no image")
    result = gradcon("report", digits_run, folder, "--out", out, "--most", 3)
    assert result.code == 3 and "broken.png" in result.err
    assert "13 images" in result.out and "1 of them unreadable" in result.out and str(out) in result.out
    page = body(out)
    assert page.count("<article") == 3 and page.count("<img") == 3 * 3 + 2
    assert page.count('<tr role="row"') == 1 + 12
    scores = Scorer.load(digits_run / "detector.safetensors").score(read_image_folder_without(folder, "broken.png"))
    decided = part_of(scores, Scorer.load(digits_run / "detector.safetensors").part)
    worst = int(decided.argmax())
    assert page.index(f">{worst:02}.png<") == min(page.index(f">{number:02}.png<") for number in range(12))
    assert f'data-value="{float(decided[worst])}"' in page
    assert "broken.png" in page and "cannot be read as an image" in page and "not calibrated" in page
    assert gradcon("report", digits_run, folder, "--out", out, "--batch-size", 5).code == 3  # replaces a report
    assert body(out).count("<article") == 12


def read_image_folder_without(folder, name):
    images = read_image_folder(folder, 1, 8)
    return ImageFolder([path for path in images.paths if path.name != name], 1, 8)


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are UTF-8 there")
def test_hostile_names(gradcon, digits_run, tmp_path):
    folder = tmp_path / "<i>photos"
    folder.mkdir()
    for name in NAMES:
        Image.new("L", (8, 8), len(name)).save(os.path.join(os.fsencode(folder), name), "PNG")
    assert gradcon("report", digits_run, folder, "--out", tmp_path / "report.html").code == 0
    page = body(tmp_path / "report.html")
    assert "<i>" not in page and "<script>document" not in page and "\\xff" in page and "two\\nlines" in page
    assert page.count("<article") == len(NAMES)


def test_what_cannot_be_read_keeps_the_others_scores(digits_run, write_photos, tmp_path):
    scorer = Scorer.load(digits_run / "detector.safetensors")
    folder = write_photos(tmp_path / "photos", 5)
    expected = part_of(scorer.score(read_image_folder(folder, 1, 8)), scorer.part).tolist()
    (folder / "02.png").write_bytes(b"no image")
    for batch_size in (1, 2, 5):
        reader = ImageReader(Preparation(1, (8, 8)), quiet=True)
        rows = list(score_files(scorer, FilesToScore(reader.find(folder), reader), folder, batch_size))
        assert [row.path for row in rows] == [f"0{number}.png" for number in range(5)]
        assert rows[2].anomaly is None and rows[2].error.startswith("cannot be read")
        assert [row.anomaly for row in rows if row.error is None] == pytest.approx(
            expected[:2] + expected[3:], rel=1e-4
        )


def test_nothing_that_can_be_read(gradcon, digits_run, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"no image")
    assert gradcon("report", digits_run, tmp_path / "photos", "--out", tmp_path / "report.html").code == 3
    assert "a.png" in body(tmp_path / "report.html") and "<table" not in body(tmp_path / "report.html")


def test_files_of_somebody_else_are_not_replaced(gradcon, digits_run, write_photos, tmp_path):
    folder = write_photos(tmp_path / "photos", 2)
    (tmp_path / "own.html").write_text("<html>of somebody else</html>")
    assert str(tmp_path / "own.html") in gradcon("report", digits_run, folder, "--out", tmp_path / "own.html").error
    assert (tmp_path / "own.html").read_text() == "<html>of somebody else</html>"
    assert ".html" in gradcon("report", digits_run, folder, "--out", digits_run / "new.csv").error
    assert "photoz" in gradcon("report", digits_run, tmp_path / "photoz", "--out", tmp_path / "new.html").error
    assert not (tmp_path / "new.html").exists()
    assert "nowhere" in gradcon("report", digits_run, folder, "--out", tmp_path / "nowhere" / "new.html").error
    assert gradcon("report", digits_run, folder).code == 2


def test_a_folder_that_nothing_can_be_written_to(gradcon, digits_run, write_photos, tmp_path, monkeypatch):
    photos = write_photos(tmp_path / "photos", 2)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    result = gradcon("report", digits_run, photos, "--out", tmp_path / "report.html")
    assert result.code == 1 and "nothing can be written" in result.error
