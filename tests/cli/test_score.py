from __future__ import annotations

import csv
import io
import json
import pickle
import re

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.data import read_digits, read_image_folder
from gradcon_ext.detector.detector import Detector
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.scoring.scorer import Scorer


class Custom(ConvAutoencoder):
    architecture = None


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def column(rows, name):
    return np.array([float(row[name]) for row in rows])


def test_a_folder_to_standard_output(gradcon, digits_run, write_photos, tmp_path):
    folder = write_photos(tmp_path / "photos")
    result = gradcon("score", digits_run, folder)
    assert result.code == 0
    assert re.fullmatch("The detector holds no calibration .*: no p-values and no verdicts.\n", result.err)
    rows = table(result.out)
    scorer = Scorer.load(digits_run / "detector.safetensors")
    scores = scorer.score(read_image_folder(folder, 1, 8))
    assert [row["path"] for row in rows] == [str(folder / f"{number:02}.png") for number in range(12)]
    assert list(rows[0]) == [
        "path",
        "anomaly",
        "reconstruction",
        "latent",
        "gradient",
        "direction",
        "code",
        "balanced",
        *(f"cosine.{name}" for name in scorer.layers),
        "error",
    ]
    for name in ("anomaly", "reconstruction", "latent", "gradient", "direction", "code", "balanced"):
        assert np.array_equal(column(rows, name).astype(np.float32), getattr(scores, name).numpy())
    for index, name in enumerate(scorer.layers):
        assert np.array_equal(column(rows, f"cosine.{name}").astype(np.float32), scores.cosine[:, index].numpy())


def test_files_and_folders_in_the_order_given(gradcon, digits_run, write_photos, tmp_path):
    some, others = write_photos(tmp_path / "some", 2), write_photos(tmp_path / "others", 3)
    (others / "notes.txt").write_text("no image")
    picture = (some / "01.png").rename(tmp_path / "picture of no kind")
    rows = table(gradcon("score", digits_run, picture, others, some / "00.png").out)
    expected = [picture, *(others / f"0{number}.png" for number in range(3)), some / "00.png"]
    assert [row["path"] for row in rows] == [str(path) for path in expected]


@pytest.mark.parametrize(
    ("name", "options", "is_json"),
    [
        ("scores.csv", (), False),
        ("scores.jsonl", (), True),
        ("scores.txt", (), False),
        ("scores.txt", ("--format", "jsonl"), True),
        ("scores.jsonl", ("--format", "csv"), False),
    ],
)
def test_a_file(gradcon, digits_run, write_photos, tmp_path, name, options, is_json):
    folder = write_photos(tmp_path / "photos", 3)
    result = gradcon("score", digits_run, folder, "--out", tmp_path / name, *options)
    assert (result.code, result.out) == (0, "")
    assert f" 3 rows to {tmp_path / name}" in result.err
    text = (tmp_path / name).read_text()
    rows = [json.loads(line) for line in text.splitlines()] if is_json else table(text)
    printed = table(gradcon("score", digits_run, folder).out)
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows] == printed


def test_the_batch_size_does_not_matter(gradcon, digits_run, write_photos, tmp_path):
    folder = write_photos(tmp_path / "photos")
    whole, parts = (table(gradcon("score", digits_run, folder, "--batch-size", size).out) for size in (512, 5))
    assert [row["path"] for row in whole] == [row["path"] for row in parts]
    assert column(parts, "anomaly") == pytest.approx(column(whole, "anomaly"), rel=1e-4)


@pytest.mark.parametrize("shape", ["(N, H, W)", "(N, C, H, W)"])
@pytest.mark.parametrize("floating", [False, True])
def test_an_array(gradcon, digits_run, tmp_path, shape, floating):
    images = read_digits().test.images[:7]
    scores = Scorer.load(digits_run / "detector.safetensors").score(images)
    array = images[:, 0] if shape == "(N, H, W)" else images
    np.save(tmp_path / "images.npy", array / 255 if floating else array)
    rows = table(gradcon("score", digits_run, tmp_path / "images.npy").out)
    assert [row["index"] for row in rows] == list("0123456")
    assert column(rows, "anomaly") == pytest.approx(scores.anomaly.numpy(), rel=1e-5)


def test_bytes_are_resized_as_image_files_are(gradcon, digits_run, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 12, 20), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    (tmp_path / "images").mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
    array, files = (table(gradcon("score", digits_run, tmp_path / name).out) for name in ("images.npy", "images"))
    assert np.array_equal(column(array, "anomaly"), column(files, "anomaly"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 8, 8), np.uint8), r"\(3, 8, 8\).*\(1, 8, 8\)"),
        (np.zeros((8, 8), np.uint8), r" \(8, 8\).*\(N, C, H, W\)"),
        (np.zeros((2, 9, 9)), r"\(1, 9, 9\).*\(1, 8, 8\)"),
        (np.zeros((2, 8, 8), np.int32), "int32.*uint8"),
        (np.zeros((0, 8, 8), np.uint8), "no images"),
        (np.full((2, 8, 8), np.nan), "image 0 .*NaN or infinite"),
        (np.full((2, 8, 8), 255.0), "image 0 .* 255 to 255"),
        (np.array([{}]), ".npy array"),
    ],
    ids=["channels", "dimensions", "size", "dtype", "empty", "nan", "range", "pickle"],
)
def test_an_array_that_does_not_fit(gradcon, digits_run, tmp_path, array, message):
    path = tmp_path / "images.npy"
    np.save(path, array)
    result = gradcon("score", digits_run, path, "--out", tmp_path / "scores.csv")
    assert result.code == 1
    assert re.match(f"{path}: .*{message}", result.error)
    assert not (tmp_path / "scores.csv").exists()


def archive():
    file = io.BytesIO()
    np.savez(file, np.zeros((2, 8, 8), np.uint8))
    return file.getvalue()


def with_header(header):
    text = header.encode().ljust(118)
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        b"\x93NUMPY\x01\x00v\x00{'descr'",
        b"PK\x03\x04 and no more",
        archive(),
        pickle.dumps([1.0]),
        with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 8, 8)"),
        with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 8, 8), }"),
        with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 8, 8), '" + "\\N{'}"),
        with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 10**30, 8), }"),
        with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (" + 30 * "9" + ", 8, 8), }"),
        with_header("{[]: 1}"),
    ],
)
def test_a_damaged_array(gradcon, digits_run, tmp_path, content):
    (tmp_path / "images.npy").write_bytes(content)
    result = gradcon("score", digits_run, tmp_path / "images.npy")
    assert result.code == 1
    assert re.match(f"{tmp_path}/images.npy: .*.npy array", result.error)


def test_a_damaged_image_that_is_not_skipped_leaves_the_old_scores(gradcon, digits_run, write_photos, tmp_path):
    folder, out = write_photos(tmp_path / "photos"), tmp_path / "scores.csv"
    (folder / "07.png").write_bytes(b"not a picture")
    out.write_text("the old ones")
    result = gradcon("score", digits_run, folder, "--out", out, "--batch-size", "2", "--on-error", "fail")
    assert result.code == 1
    assert re.match(f"{folder / '07.png'}: .*image", result.error)
    assert out.read_text() == "the old ones"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["photos", "run", "scores.csv"]


def test_what_is_not_there(gradcon, digits_run, write_photos, tmp_path):
    folder, nowhere = write_photos(tmp_path / "photos"), tmp_path / "nowhere"
    (tmp_path / "empty").mkdir()
    for words, message in (
        ((nowhere, folder), f"{nowhere};.*`gradcon train`"),
        ((digits_run, nowhere), f"{nowhere};.*image.*folder.*npy"),
        ((digits_run, tmp_path / "nowhere.npy"), f"{tmp_path / 'nowhere.npy'}$"),
        ((digits_run, tmp_path / "empty"), f"{tmp_path}/empty: no images"),
        ((digits_run, folder, "--out", nowhere / "scores.csv"), f"folder {nowhere} "),
        ((digits_run, folder, tmp_path / "a.npy"), "npy .*alone.* 2 "),
    ):
        result = gradcon("score", *words)
        assert result.code == 1
        assert re.search(message, result.error)


def test_a_detector_that_does_not_say_what_it_takes(gradcon, digits_run, write_photos, tmp_path):
    file = digits_run / "detector.safetensors"
    detector = Detector.load(file)
    detector.preprocessing = {}
    detector.save(file)
    result = gradcon("score", file, write_photos(tmp_path / "photos"))
    assert result.code == 1
    assert re.match(f"{file} .*channels and size.*Python", result.error)


def test_a_custom_model_is_for_python(gradcon, digits_run, write_photos, tmp_path):
    file = digits_run / "detector.safetensors"
    detector = Detector.load(file, model=Custom(1, 8, 4))
    detector.save(file)
    result = gradcon("score", digits_run, write_photos(tmp_path / "photos"))
    assert result.code == 1
    assert re.search(rf"{file}: .*Scorer.load\(path, model=\.\.\.\)", result.error)
    assert Scorer.load(file, model=Custom(1, 8, 4)).layers == tuple(detector.references)


def test_old_scores_are_replaced(gradcon, digits_run, write_photos, tmp_path):
    (tmp_path / "scores.csv").write_text("the old ones")
    assert gradcon("score", digits_run, write_photos(tmp_path / "photos"), "--out", tmp_path / "scores.csv").code == 0
    assert len(table((tmp_path / "scores.csv").read_text())) == 12


def test_nothing_but_scores_is_replaced(gradcon, digits_run, write_photos, tmp_path):
    folder, detector = write_photos(tmp_path / "photos"), tmp_path / "detector.csv"
    (digits_run / "detector.safetensors").rename(detector)
    picture = (folder / "00.png").rename(tmp_path / "picture.csv")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "link.csv").symlink_to(tmp_path / "notes.txt")
    (tmp_path / "again.csv").hardlink_to(detector)
    for out, message in (
        (detector, "made from"),
        (tmp_path / "again.csv", "made from"),
        (picture, "made from"),
        (folder / "01.png", "already.*.csv or .jsonl"),
        (tmp_path / "notes.txt", "already.*.csv or .jsonl"),
        (tmp_path / "link.csv", "already.*.csv or .jsonl"),
        (folder, "made from"),
        (tmp_path, "already.*.csv or .jsonl"),
    ):
        before = None if out.is_dir() else out.read_bytes()
        result = gradcon("score", detector, picture, folder, "--out", out)
        assert result.code == 1 and re.match(f"--out {out} .*{message}", result.error)
        assert out.is_dir() or out.read_bytes() == before


@pytest.mark.parametrize("there", [True, False])
def test_scores_are_not_written_through_a_link(gradcon, digits_run, write_photos, tmp_path, there):
    target, link = tmp_path / "kept.csv", tmp_path / "scores.csv"
    link.symlink_to(target)
    if there:
        target.write_text("the old ones")
    result = gradcon("score", digits_run, write_photos(tmp_path / "photos"), "--out", link)
    assert result.code == 1
    assert str(target) in result.error
    assert link.is_symlink()
    assert target.exists() == there
    assert not there or target.read_text() == "the old ones"


@pytest.mark.parametrize("name", ["detector.safetensors", "history.jsonl", "evaluation.csv"])
def test_scores_take_no_name_of_a_run(gradcon, digits_run, write_photos, tmp_path, name):
    before = {file.name: file.read_bytes() for file in digits_run.iterdir()}
    result = gradcon("score", digits_run, write_photos(tmp_path / "photos"), "--out", digits_run / name)
    message = f"--out {digits_run / name} has the name of a file of a run; choose another"
    assert (result.code, result.error) == (1, message)
    assert {file.name: file.read_bytes() for file in digits_run.iterdir()} == before
