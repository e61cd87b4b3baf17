"""Image files in all commands: what a detector keeps of how they were read, and what becomes of bad ones."""

from __future__ import annotations

import csv
import io
import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.cli import progress as progress_module
from gradcon_ext.cli.progress import epoch_lines, progress
from gradcon_ext.data.held_out import held_out
from gradcon_ext.detector.detector import Detector

TRAIN = ("train", "--epochs", "1", "--lead-in", "0", "--width", "2", "--size", "8", "--batch-size", "4", "--quiet")


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def write_words():
    """Returns a writer of PNG files of 12 bits in 16."""

    def write(folder, count=6, seed=0, highest=4095, size=(8, 8)):
        folder.mkdir()
        generator = np.random.default_rng(seed)
        for number in range(count):
            pixels = generator.integers(0, highest + 1, size).astype(np.uint16)
            pixels[0, 0] = highest
            Image.fromarray(pixels).save(folder / f"{number}.png")
        return folder

    return write


def test_twelve_bits_are_trained_and_scored_as_they_are(gradcon, tmp_path, write_words):
    folder, run = write_words(tmp_path / "words"), tmp_path / "run"
    assert gradcon(*TRAIN, "--images", folder, "--channels", 1, "--out", run).code == 0
    assert Detector.load(run).preprocessing["range"] == [0, 4095]
    rows = table(gradcon("score", run, folder).out)
    floats = np.stack([np.asarray(Image.open(folder / f"{number}.png")) for number in range(6)]) / np.float32(4095)
    np.save(tmp_path / "floats.npy", floats.astype(np.float32))
    np.save(tmp_path / "words.npy", np.rint(floats * 4095).astype(np.uint16))
    for name in ("floats.npy", "words.npy"):
        of_array = table(gradcon("score", run, tmp_path / name).out)
        assert [row["anomaly"] for row in of_array] == [row["anomaly"] for row in rows]


def test_images_that_leave_the_range_are_told(gradcon, tmp_path, write_words):
    run = tmp_path / "run"
    gradcon(*TRAIN, "--images", write_words(tmp_path / "words"), "--channels", 1, "--out", run)
    result = gradcon("score", run, write_words(tmp_path / "bright", 3, highest=60000))
    assert result.code == 0
    assert re.fullmatch(
        f"Warning: images .* beyond the range 0 to 4095, .* clipped: 3, such as {tmp_path}/bright/0.png .* to 60000\n",
        result.err,
    )
    np.save(tmp_path / "bright.npy", np.full((2, 8, 8), 5000, np.uint16))
    assert "beyond the range 0 to 4095, which are clipped: 2" in gradcon("score", run, tmp_path / "bright.npy").err


@pytest.fixture
def held_out_are_brightest(tmp_path, write_words):
    """A folder of 12 bits in 16 whose images for validation and calibration alone have values above 1023."""
    folder = write_words(tmp_path / "words", 20, highest=1000)
    parts = held_out(20, seed=0)
    for number in (*parts.validation, *parts.calibration):
        Image.fromarray(np.full((8, 8), 3000, np.uint16)).save(sorted(folder.iterdir())[number])
    return folder


def test_images_that_are_held_out_have_no_part_in_the_range(gradcon, tmp_path, held_out_are_brightest):
    folder, run = held_out_are_brightest, tmp_path / "run"
    told = json.loads(gradcon("check", folder, "--size", 8, "--json").out)
    result = gradcon(*TRAIN, "--images", folder, "--out", run)
    assert result.code == 0
    assert Detector.load(run).preprocessing["range"] == told["train"]["range"] == [0, 1023]
    assert re.search("values beyond the range 0 to 1023, which are clipped: 6, .* with 3000 to 3000", result.err)
    (folder / "bad.png").write_bytes(b"no image")  # the last one, so that the others are split as before
    assert gradcon(*TRAIN, "--images", folder, "--out", tmp_path / "another", "--on-error", "skip").code == 3
    assert Detector.load(tmp_path / "another").preprocessing["range"] == [0, 1023]


def test_a_resumed_run_keeps_its_range(gradcon, tmp_path, held_out_are_brightest):
    words = (*TRAIN, "--images", held_out_are_brightest, "--out", tmp_path / "run")
    assert gradcon(*words, "--range", "0,4095").code == 0  # as of all images
    assert gradcon(*words, "--resume", "--epochs", "2").code == 0
    assert Detector.load(tmp_path / "run").preprocessing["range"] == [0, 4095]


def test_a_range_of_ones_own_is_kept(gradcon, tmp_path, write_words):
    words = ("--images", write_words(tmp_path / "words"), "--channels", 1, "--range=-5,9000", "--out", tmp_path / "run")
    assert gradcon(*TRAIN, *words).code == 0
    assert Detector.load(tmp_path / "run").preprocessing["range"] == [-5, 9000]


def test_eight_bits_are_refused_where_twelve_were_trained(gradcon, tmp_path, write_words, write_photos):
    run = tmp_path / "run"
    gradcon(*TRAIN, "--images", write_words(tmp_path / "words"), "--channels", 1, "--out", run)
    result = gradcon("score", run, write_photos(tmp_path / "photos", 1))
    assert result.code == 3
    assert "8 bits a channel; expected values in the range 0 to 4095" in table(result.out)[0]["error"]


def test_floating_point_from_0_to_1_is_refused_where_bytes_were_trained(gradcon, tmp_path, write_photos):
    run = tmp_path / "run"
    gradcon(*TRAIN, "--images", write_photos(tmp_path / "photos"), "--out", run)
    Image.fromarray(np.random.default_rng(0).random((9, 10), np.float32)).save(tmp_path / "a.tif")
    result = gradcon("score", run, tmp_path / "a.tif")
    assert result.code == 3
    assert re.search("floating-point pixels .*; expected values in the range 0 to 255", table(result.out)[0]["error"])


def test_bad_images_are_rows_with_their_errors(gradcon, digits_run, write_photos, tmp_path):
    folder = write_photos(tmp_path / "photos", 6)
    for number in (0, 1, 4):
        (folder / f"0{number}.png").write_bytes(b"no image")
    result = gradcon("score", digits_run, folder, "--batch-size", 2)
    rows = table(result.out)
    assert result.code == 3
    assert "images that cannot be read: 3, such as" in result.err
    assert [row["path"] for row in rows] == [str(folder / f"0{number}.png") for number in range(6)]
    assert list(rows[0])[-1] == "error"
    for number, row in enumerate(rows):
        scored = [value for name, value in row.items() if name not in ("path", "error")]
        if number in (0, 1, 4):
            assert row["error"].startswith("cannot be read as an image") and set(scored) == {""}
        else:
            assert row["error"] == "" and "" not in scored
    lines = gradcon("score", digits_run, folder, "--format", "jsonl").out.splitlines()
    assert json.loads(lines[1])["anomaly"] is None and json.loads(lines[2])["error"] is None
    good = table(gradcon("score", digits_run, folder / "02.png").out)[0]
    assert float(rows[2]["anomaly"]) == pytest.approx(float(good["anomaly"]), rel=1e-5)


def test_nothing_but_bad_images_has_the_same_columns(gradcon, digits_run, write_photos, tmp_path):
    folder = write_photos(tmp_path / "photos", 2)
    columns = list(table(gradcon("score", digits_run, folder).out)[0])
    for path in folder.iterdir():
        path.write_bytes(b"")
    result = gradcon("score", digits_run, folder)
    assert result.code == 3
    assert [list(row) for row in table(result.out)] == [columns, columns]


def test_without_skipping_there_is_no_column_of_errors(gradcon, digits_run, write_photos, tmp_path):
    rows = table(gradcon("score", digits_run, write_photos(tmp_path / "photos", 2), "--on-error", "fail").out)
    assert "error" not in rows[0]


def test_training_skips_bad_images_when_told_to(gradcon, tmp_path, write_photos):
    folder, run = write_photos(tmp_path / "photos"), tmp_path / "run"
    (folder / "05.png").write_bytes(b"no image")
    words = (*TRAIN, "--images", folder, "--out", run)
    assert gradcon(*words).code == 1
    assert not run.exists()
    result = gradcon(*words, "--on-error", "skip")
    assert result.code == 3
    assert f"images that cannot be read: 1, such as {folder / '05.png'}: " in result.err
    training = Detector.load(run).training
    assert training["train_images"] + training["validation_images"] + training["data"]["calibration"] == 11
    assert not list(run.glob(".*"))


def test_a_run_that_goes_on_reads_nothing_anew(gradcon, tmp_path, write_photos, monkeypatch):
    folder, run = write_photos(tmp_path / "photos"), tmp_path / "run"

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gradcon_ext.cli.train.Detector.save", interrupted)
        assert gradcon(*TRAIN, "--images", folder, "--out", run).code == 130
    assert len(list(run.glob(".images-*.cache"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr("gradcon_ext.cli.image_reader.read_images", interrupted)
        assert gradcon(*TRAIN, "--images", folder, "--out", run, "--resume").code == 0
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint.safetensors",
        "detector.safetensors",
        "history.jsonl",
        "train.toml",
    ]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_lists(gradcon, tmp_path, write_photos, suffix):
    folder = write_photos(tmp_path / "photos")
    rows = [{"path": f"photos/{number:02}.png", "is_outlier": int(number > 8)} for number in range(12)]
    path = tmp_path / f"list.{suffix}"
    if suffix == "csv":
        path.write_text("path,is_outlier\n" + "".join(f"{row['path']},{row['is_outlier']}\n" for row in rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = tmp_path / "run"
    assert gradcon(*TRAIN, "--images", path, "--out", run).code == 0
    training = Detector.load(run).training
    assert training["train_images"] + training["validation_images"] + training["data"]["calibration"] == 9
    scored = table(gradcon("score", run, path).out)
    assert [row["path"] for row in scored] == [str(folder / f"{number:02}.png") for number in range(12)]
    result = gradcon("evaluate", run, "--images", path)
    assert result.code == 0 and "9 inliers, 3 outliers" in result.out
    evaluated = table((run / "evaluation.csv").read_text())
    assert [row["anomaly"] for row in evaluated] == [row["anomaly"] for row in scored]


def test_the_layout_of_mvtec_ad(gradcon, tmp_path, write_photos):
    bottle = tmp_path / "bottle"
    for room in ("train", "test", "ground_truth"):
        (bottle / room).mkdir(parents=True)
    write_photos(bottle / "train" / "good", 6)
    write_photos(bottle / "test" / "good", 2, seed=1)
    write_photos(bottle / "test" / "broken", 3, seed=2)
    write_photos(bottle / "ground_truth" / "broken", 3, seed=3)  # which are not named as masks are
    run = tmp_path / "run"
    assert gradcon(*TRAIN, "--images", bottle, "--out", run).code == 0
    assert Detector.load(run).training["train_images"] == 4
    assert len(table(gradcon("score", run, bottle).out)) == 5
    result = gradcon("evaluate", run, "--images", bottle)
    assert result.code == 0 and "2 inliers, 3 outliers" in result.out
    assert "no metrics of pixels" in result.err and "pixel AUROC" not in result.out
    for mask in (bottle / "ground_truth" / "broken").iterdir():
        mask.rename(mask.with_name(f"{mask.stem}_mask.png"))
    assert "pixel AUROC" in gradcon("evaluate", run, "--images", bottle).out
    (bottle / "test" / "broken" / "01.png").write_bytes(b"no image")
    result = gradcon("evaluate", run, "--images", bottle)
    assert result.code == 3 and "2 inliers, 2 outliers" in result.out
    rows = table((run / "evaluation.csv").read_text())
    assert [row["is_outlier"] for row in rows] == ["1", "1", "0", "0", "1"]
    assert [bool(row["error"]) for row in rows] == [False, False, False, False, True]
    assert rows[-1]["anomaly"] == "" and rows[-1]["path"].endswith("test/broken/01.png")


def test_a_list_that_does_not_say_what_is_an_outlier(gradcon, digits_run, tmp_path, write_photos):
    write_photos(tmp_path / "photos", 1)
    (tmp_path / "list.csv").write_text("path\nphotos/00.png\n")
    result = gradcon("evaluate", digits_run, "--images", tmp_path / "list.csv")
    assert result.code == 1
    assert re.search("list.csv does not say whether .*00.png is an outlier", result.error)


def test_frames(gradcon, digits_run, tmp_path):
    frames = [Image.new("L", (8, 8), level) for level in (0, 90, 180)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    result = gradcon("score", digits_run, tmp_path / "a.tif")
    assert "files of several frames, of which the first is read: 1" in result.err
    rows = table(gradcon("score", digits_run, tmp_path / "a.tif", "--frames", "all").out)
    assert [row["frame"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["anomaly"] == table(result.out)[0]["anomaly"]
    third = table(gradcon("score", digits_run, tmp_path / "a.tif", "--frames", "2").out)
    assert float(third[0]["anomaly"]) == pytest.approx(float(rows[2]["anomaly"]), rel=1e-5)


@pytest.fixture
def frames_in_a_list(tmp_path):
    """A list that names three frames of a file of four, the last as an outlier, and a file of one frame."""
    generator = np.random.default_rng(0)
    frames = [Image.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)) for _ in range(4)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    frames[1].save(tmp_path / "b.png")
    (tmp_path / "list.csv").write_text("path,frame,is_outlier\na.tif,0,0\na.tif,1,0\na.tif,3,1\nb.png,,0\n")
    return tmp_path / "list.csv"


@pytest.mark.parametrize("option", [(), ("--frames", "all"), ("--frames", "0")])
def test_frames_that_a_list_names_are_one_image_each(gradcon, digits_run, frames_in_a_list, tmp_path, option):
    result = gradcon("score", digits_run, frames_in_a_list, "--maps", tmp_path / "maps", *option)
    assert (result.code, "several frames" in result.err) == (0, False)
    rows = table(result.out)
    assert [row["frame"] for row in rows] == ["0", "1", "3", "0"]
    assert rows[1]["anomaly"] == rows[3]["anomaly"] != rows[0]["anomaly"]
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 8
    checked = json.loads(gradcon("check", frames_in_a_list, "--json", *option).out)
    assert (checked["images"], checked["several_frames"]) == (4, [str(tmp_path / "a.tif")])


def test_another_frame_than_the_first_is_for_files_whose_frame_no_list_names(
    gradcon, digits_run, frames_in_a_list, tmp_path
):
    result = gradcon("score", digits_run, frames_in_a_list, tmp_path / "a.tif", "--frames", 2)
    assert [row["frame"] for row in table(result.out)] == ["0", "1", "3", "2", "2"]
    assert "files of several frames, of which number 2 is read: 1, such as" in result.err


def test_outliers_among_frames_are_not_trained_on_and_are_tested(gradcon, frames_in_a_list, tmp_path):
    run = tmp_path / "run"
    assert gradcon(*TRAIN, "--images", frames_in_a_list, "--frames", "all", "--out", run).code == 0
    training = Detector.load(run).training
    assert training["train_images"] + training["validation_images"] + training["data"].get("calibration", 0) == 3
    result = gradcon("evaluate", run, "--images", frames_in_a_list)
    assert result.code == 0 and "3 inliers, 1 outliers" in result.out
    rows = table((run / "evaluation.csv").read_text())
    assert [(row["frame"], row["is_outlier"]) for row in rows] == [("0", "0"), ("1", "0"), ("3", "1"), ("0", "0")]
    assert "3 of 3 inliers are images of" in result.err


def test_frames_of_one_file_are_inliers_and_outliers(gradcon, digits_run, frames_in_a_list, tmp_path):
    for name, frames in (("good", (0, 1)), ("faulty", (1, 3))):
        (tmp_path / f"{name}.csv").write_text("path,frame\n" + "".join(f"a.tif,{frame}\n" for frame in frames))
    result = gradcon("evaluate", digits_run, "--inliers", tmp_path / "good.csv", "--outliers", tmp_path / "faulty.csv")
    assert result.code == 0 and "2 inliers, 1 outliers" in result.out


def test_height_width_and_fit_are_kept(gradcon, tmp_path, write_photos):
    words = ("--images", write_photos(tmp_path / "photos"), "--fit", "crop", "--background", "none", "--reduced-jpeg")
    assert gradcon(*TRAIN[:-3], *words, "--size", "12x8", "--batch-size", 4, "--out", tmp_path / "run").code == 0
    assert Detector.load(tmp_path / "run").preprocessing == {
        "channels": 3,
        "size": [12, 8],
        "fit": "crop",
        "range": [0, 255],
        "reduced_jpeg": True,
    }


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--size", "8x8x8", "HEIGHTxWIDTH"),
        ("--size", "0x8", "whole number from 1"),
        ("--range", "1", "auto, or MIN,MAX"),
        ("--range", "5,5", "MIN below MAX"),
        ("--range", "0,inf", "MIN below MAX"),
        ("--background", "no colour", "a colour or none"),
        ("--frames", "last", "first, all, or a number"),
        ("--fit", "stretch", "squash"),
        ("--workers", "0", "whole number from 1"),
    ],
)
def test_options_out_of_range(gradcon, tmp_path, option, value, message):
    result = gradcon("train", "--images", tmp_path, "--out", tmp_path / "run", option, value)
    assert result.code == 2 and message in result.err


def test_options_of_files_do_not_go_with_a_data_set(gradcon, tmp_path):
    words = ("train", "--dataset", "digits", "--inlier", "2", "--out", tmp_path / "run")
    for option in (("--reduced-jpeg",), ("--fit", "pad"), ("--range", "0,1"), ("--frames", "all"), ("--channels", "1")):
        result = gradcon(*words, *option)
        assert result.code == 2 and f"{option[0]} does not go with --dataset" in result.err


def test_nonsense_in_a_detector_is_one_line(gradcon, digits_run, write_photos, tmp_path):
    file = digits_run / "detector.safetensors"
    detector = Detector.load(file)
    for name, value in (("range", [3, 1]), ("fit", "stretch"), ("size", "8x8"), ("colour", 1)):
        changed = Detector.load(file)
        changed.preprocessing = {**detector.preprocessing, name: value}
        changed.save(tmp_path / "changed.safetensors")
        result = gradcon("score", tmp_path / "changed.safetensors", tmp_path)
        assert result.code == 1
        assert re.match(f"{tmp_path}/changed.safetensors: preprocessing has .*{name}", result.error)


def test_channels_that_come_last(gradcon, tmp_path, write_photos):
    gradcon(*TRAIN, "--images", write_photos(tmp_path / "photos"), "--out", tmp_path / "run")
    for dtype in (np.uint8, np.float32):
        np.save(tmp_path / "images.npy", np.zeros((2, 8, 8, 3), dtype))
        result = gradcon("score", tmp_path / "run", tmp_path / "images.npy")
        assert result.code == 1
        assert re.search(r"transpose \(N, H, W, C\) to \(N, C, H, W\), as by numpy.moveaxis", result.error)


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    times = iter([0.0, 1.0, 20.0, 21.0, 40.0])
    monkeypatch.setattr(progress_module, "monotonic", lambda: next(times))
    with progress(100, "scoring") as update:
        for count in (1, 39, 1, 59):
            update(count)
    assert capsys.readouterr().err == "scoring: 40 of 100 images, 2 a second, 30 s left\n"


def test_progress_on_a_terminal_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(100, "scoring") as update:
        for count in (1, 39, 1, 59):
            update(count)
    assert re.search(r"\rscoring: 100%\|█+\| 100/100 \[.* images/s\]\n$", capsys.readouterr().err)


def test_epochs_without_a_terminal_are_a_line_now_and_then_and_at_last(capsys, monkeypatch):
    times = iter([0.0, 1.0, 16.0, 16.0, 20.0, 30.0, 30.0])
    monkeypatch.setattr(progress_module, "monotonic", lambda: next(times))
    with epoch_lines(9) as log:
        for epoch in range(1, 5):
            log({"loss": 0.5, "validation_objective": 0.25 / epoch}, epoch)
    assert capsys.readouterr().err == (
        "epoch 2 of 9: loss 0.5000, validation objective 0.1250\n"
        "epoch 4 of 9: loss 0.5000, validation objective 0.0625\n"
    )
