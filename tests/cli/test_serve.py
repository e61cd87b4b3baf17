"""`gradcon serve` answers what `gradcon score` writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest

from gradcon_ext.data.reading import ImageFile, Preparation, read_images
from gradcon_ext.runtime import Scorer
from gradcon_ext.serving.blocks import BlockScorer
from gradcon_ext.serving.detector import ServedDetector

LONG = 300


@pytest.fixture
def calibrated_run(gradcon, write_photos, tmp_path):
    folder = write_photos(tmp_path / "normal", 60)
    size = (
        "--size",
        "8x9",
        "--fit",
        "pad",
        "--background",
        "red",
        "--width",
        "2",
        "--epochs",
        "1",
        "--lead-in",
        "1",
        "--batch-size",
        "16",
    )
    assert gradcon("train", "--images", folder, "--out", tmp_path / "photos-run", *size, "--quiet").code == 0
    return tmp_path / "photos-run"


def served(run, path):
    command = [sys.executable, "-m", "gradcon_ext", "serve", run, "--port", "0"]
    process = subprocess.Popen(command, cwd=run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("Serving on http://127.0.0.1:"), process.communicate()
        url = f"{line.split()[-1]}/score"
        request = urllib.request.Request(url, path.read_bytes(), {"content-type": "image/png"})
        with urllib.request.urlopen(request, timeout=LONG) as answer:
            (row,) = json.load(answer)["images"]
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=LONG)
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
        process.communicate()
    return row


def test_the_answer_is_the_row_of_the_file(gradcon, calibrated_run, write_photos, tmp_path):
    path = write_photos(tmp_path / "new", 1, seed=7) / "00.png"
    row = served(calibrated_run, path)
    written = json.loads(gradcon("score", calibrated_run, path, "--format", "jsonl").out)
    assert row.pop("index") == 0
    assert written.pop("path") == str(path)
    assert written.pop("error") is None
    assert list(row) == list(written)
    # The pixels are the same. Scores with torch and without differ by rounding, and a p-value by a rank at most.
    for name in written:
        if name not in ("verdict", "p_value"):
            assert row[name] == pytest.approx(written[name], rel=1e-4, abs=1e-4), name
    facts = ServedDetector.load(calibrated_run)
    assert abs(row["p_value"] - written["p_value"]) <= 1.01 / (facts.stored.calibration.count + 1)


def test_the_answer_is_to_the_bit_that_of_the_runtime(calibrated_run, write_photos, tmp_path):
    path = write_photos(tmp_path / "new", 1, seed=7) / "00.png"
    row = served(calibrated_run, path)
    detector = ServedDetector.load(calibrated_run)
    (reading,) = read_images([ImageFile(path)], Preparation.read(detector.stored.preprocessing))
    scores = BlockScorer(Scorer.load(calibrated_run)).score(reading.pixels.numpy()[None])
    for name in ("anomaly", "reconstruction", "latent", "gradient", "direction", "code", "balanced"):
        assert np.float32(row[name]) == getattr(scores, name)[0], name
    assert row["p_value"] == scores.p_value[0]
    assert row["verdict"] == ("outlier" if scores.is_outlier[0] else "inlier")


def test_bad_usage(gradcon, tmp_path):
    assert "there is no" in gradcon("serve", tmp_path / "nothing").error
    assert gradcon("serve", tmp_path, "--port", "99999").code == 2
    assert "timeout must be positive" in gradcon("serve", tmp_path, "--timeout", "-1").error
