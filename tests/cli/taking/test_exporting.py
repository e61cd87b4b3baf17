"""Detectors of tiles and feature maps in `gradcon export` and `verify`."""

from __future__ import annotations

import numpy as np
import pytest

from gradcon_ext.export.onnx_file import open_onnx
from gradcon_ext.storage.tensor_file import read_tensors, write_tensors
from support.taken_runs import TILES, pixels_of, rows_of, trained


def test_engines_of_our_own_score_single_tiles_and_our_op_images_too(gradcon, made):
    run, _ = made
    for engine in ("fused", "runtime", "any-model"):
        result = gradcon("verify", run, "--engine", engine)
        assert result.code == 0, result.err
        assert ("image.balanced: " in result.out) == (engine == "fused")
        assert "\nbalanced: " not in result.out


@pytest.mark.parametrize("format", ["onnx", "pt2"])
@pytest.mark.parametrize("size", ["24x32", "40x70"])  # that of the golden images, and another
def test_tiles_are_exported(gradcon, tiles_run, tmp_path, format, size):
    out = tmp_path / f"tiles.{format}"
    made = gradcon("export", tiles_run, "--to", format, "--size", size, "--input", "uint8", "--out", out)
    assert made.code == 0, made.err
    result = gradcon("verify", tiles_run, "--engine", format, "--file", out)
    assert result.code == 0, result.err
    assert "image.balanced: " in result.out
    assert ("noise of 1x40x70" in result.err) == (size == "40x70")


def test_an_exported_graph_scores_images_as_the_command_does(gradcon, photos, tiles_run, tmp_path):
    out = tmp_path / "tiles.onnx"
    gradcon("export", tiles_run, "--to", "onnx", "--size", "40x70", "--input", "uint8", "--out", out)
    rows = [row for row in rows_of(gradcon("score", tiles_run, photos).out) if pixels_of(row["path"]).shape[1] == 40]
    given = open_onnx(out).score(np.stack([pixels_of(row["path"]).numpy() for row in rows]))
    assert len(rows) == 4
    for column in ("anomaly", "reconstruction", "latent", "gradient", "direction", "code", "balanced", "p_value"):
        assert given[column] == pytest.approx([float(row[column]) for row in rows], rel=1e-4, abs=1e-5)
    assert given["cosine"][:, 0] == pytest.approx([float(row["cosine.mean"]) for row in rows], rel=1e-5)
    assert given["is_outlier"].tolist() == [row["verdict"] == "outlier" for row in rows]


def test_features_are_exported_without_their_network(gradcon, features_run, tmp_path):
    out = tmp_path / "maps.onnx"
    assert "floating point" in gradcon("export", features_run, "--to", "onnx", "--input", "uint8", "--out", out).error
    assert gradcon("export", features_run, "--to", "onnx", "--out", out).code == 0
    result = gradcon("verify", features_run, "--engine", "onnx", "--file", out)
    assert result.code == 0, result.err
    assert result.err == ""
    assert open_onnx(out).image_shape[1:] == (4, 4)


def test_what_does_not_fit_a_detector_of_tiles_is_not_exported(gradcon, tiles_run, features_run, tmp_path):
    def error(run, *options):
        return gradcon("export", run, "--to", "onnx", "--out", tmp_path / "a.onnx", *options).error

    assert "give --size HEIGHTxWIDTH" in error(tiles_run)
    assert "4x4 pixels or positions alone" in error(features_run, "--size", "5")
    assert not (tmp_path / "a.onnx").exists()


def test_an_exported_file_of_another_detector_of_tiles_is_a_failure(gradcon, photos, tiles_run, tmp_path):
    other = trained(photos, tmp_path / "other", *TILES, "--seed", "1")
    out = tmp_path / "other.onnx"
    for size in ("24x32", "40x70"):
        assert gradcon("export", other, "--to", "onnx", "--size", size, "--out", out).code == 0
        result = gradcon("verify", tiles_run, "--engine", "onnx", "--file", out)
        assert result.code == 1
        assert "image." in result.err
        out.unlink()


def test_a_file_without_golden_scores_of_whole_images(gradcon, tiles_run, tmp_path):
    path = tiles_run / "detector.safetensors"
    tensors, facts = read_tensors(path, "detector", 1)
    facts["golden"].pop("whole")
    for name in ("golden.whole.images", "golden.whole.scores"):
        tensors.pop(name)
    write_tensors(path, facts.pop("kind"), facts.pop("version"), tensors, facts)
    out = tmp_path / "tiles.onnx"
    assert gradcon("export", tiles_run, "--to", "onnx", "--size", "24x32", "--out", out).code == 0
    for options in ((), ("--engine", "onnx", "--file", out)):
        result = gradcon("verify", tiles_run, *options)
        assert result.code == 0, result.err
        assert "no golden scores of whole images" in result.err
        assert "Detector.load(path).save(path)" in result.err
