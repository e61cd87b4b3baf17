"""What `gradcon score --ray` refuses before it looks for a cluster; tests/ray has the rest."""

from __future__ import annotations

import re

import pytest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("photos", "--ray"), "--ray needs --out"),
        (("photos", "--out", "scores", "--maps", "maps", "--ray"), "--maps draws .*--ray"),
        (("photos", "--out", "scores", "--fdr", "0.1", "--ray"), "--fdr needs .*--ray"),
        (("photos", "--out", "scores", "--format", "csv", "--ray"), "Parquet.* --format.*--ray"),
        (("photos", "--out", "scores", "--on-error", "fail", "--ray"), "--on-error fail"),
        (("frames.npy", "--out", "scores", "--ray"), "frames.npy: arrays .*without --ray"),
        (("photos", "--out", "scores", "--block-size", "700", "--ray"), "multiple of 512"),
        (("photos", "--block-size", "1024"), "--block-size needs --ray"),
        (("s3://bucket/photos",), "s3://bucket/photos: URLs need --ray"),
        (("photos", "--out", "s3://bucket/scores"), "s3://bucket/scores: URLs need --ray"),
    ],
)
def test_what_does_not_go_together(gradcon, words, message):
    result = gradcon("score", "detector.safetensors", *words)
    assert result.code == 2
    assert re.search(f"^gradcon: error: .*{message}", result.err.splitlines()[-1])
