"""Formats and inputs that public bug reports name: each has its right value, or one line that says what is wrong.

What is right or wrong of one file is in two tables, VALUES and PROBLEMS. What takes a whole command stands below
them, in functions of its own: names under `LC_ALL=C` and other locales, a leading dash on the command line, a pipe
that is closed early, a full disk, an output that is a folder, two images, identical ones, nothing but black ones, and
linked folders.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.data.reading import Preparation, UnreadableImage, decode, find_images, read_images
from gradcon_ext.data.reading.files import ImageFile
from support.libraries import library

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]
WORDS = np.random.default_rng(1).integers(0, 65536, (6, 8, 3)).astype(np.uint16)
TWELVE_BITS = (WORDS[..., 0] >> 4).astype(np.uint16)
OPACITY = np.linspace(0, 255, 48).round().astype(np.uint8).reshape(6, 8)


def saved(image: Image.Image, name: str, **options: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        image.save(folder / name, **options)
        return folder / name

    return write


def content(name: str, data: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def encoded(array: np.ndarray, name: str, **options: object) -> Callable[[Path], Path]:
    """As imagecodecs or tifffile write it."""

    def write(folder: Path) -> Path:
        if name.endswith(".png"):
            (folder / name).write_bytes(library("imagecodecs").png_encode(array))
        else:
            library("tifffile").imwrite(folder / name, array, **options)
        return folder / name

    return write


def of_bytes(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def over(colour: np.ndarray, opacity: np.ndarray, background: float) -> np.ndarray:
    """Colours (H, W, C) behind which there is a background; 0 to 1."""
    share = opacity[..., None]
    return colour * share + background * (1 - share)


def chw(pixels: np.ndarray) -> np.ndarray:
    return np.atleast_3d(pixels).transpose(2, 0, 1)


def palette_with_transparency() -> Image.Image:
    image = Image.fromarray((np.arange(48) % 4).astype(np.uint8).reshape(6, 8), "L").copy()
    image = image.convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    return image


_PALETTE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
_INDICES = (np.arange(48) % 4).reshape(6, 8)
_TRANSPARENCY = np.array([0, 128, 255, 64]) / 255
_LAB_WHITE = Image.merge("LAB", [Image.new("L", (8, 6), level) for level in (255, 128, 128)])
_LAB = (150, 20, 30)
"""Lightness 58.8, a and b, as a TIFF has them."""
_CMYK = (40, 100, 200, 30)
_RGB = Image.fromarray(COLOUR)


def srgb_of_lab(lightness: int, a: int, b: int) -> np.ndarray:
    """By the formulas of CIE and sRGB, under the light of D50, as colour profiles have it."""
    height = (lightness / 2.55 + 16) / 116
    roots = np.array([height + a / 500, height, height - b / 200])
    xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)) * [0.9642, 1, 0.8249]
    linear = np.array([[3.13386, -1.61687, -0.49061], [-0.97877, 1.91614, 0.03345], [0.07195, -0.22899, 1.40524]]) @ xyz
    return 1.055 * linear ** (1 / 2.4) - 0.055


def packed(bits: int) -> tuple[Callable[[Path], Path], dict[str, object], np.ndarray, float]:
    """Rows of numbers of so many bits without a gap between them."""
    values, highest = WORDS[..., 0] >> (16 - bits), 2**bits - 1
    write = encoded(values.astype(np.uint16), "a.tif", bitspersample=bits)
    return write, {"channels": 1, "range": (0.0, float(highest))}, chw(values / highest), 1e-7


VALUES = {
    "palette with transparency": (
        saved(palette_with_transparency(), "a.png", transparency=bytes([0, 128, 255, 64])),
        {},
        chw(over(_PALETTE[_INDICES], _TRANSPARENCY[_INDICES], 1.0)),
        0.5 / 255,
    ),
    "RGBA over a background": (
        saved(Image.fromarray(np.dstack([COLOUR, OPACITY])), "a.png"),
        {},
        chw(over(COLOUR / 255, OPACITY / 255, 1.0)),
        0.51 / 255,
    ),
    "RGBA, opacity ignored": (
        saved(Image.fromarray(np.dstack([COLOUR, OPACITY])), "a.png"),
        {"background": None},
        chw(COLOUR / 255),
        1e-7,
    ),
    "LA": (
        saved(Image.fromarray(np.dstack([GREY, OPACITY]), "LA"), "a.png"),
        {"channels": 1},
        chw(over(GREY[..., None] / 255, OPACITY / 255, 1.0)),
        0.51 / 255,
    ),
    "CMYK": (saved(Image.new("CMYK", (8, 6), (255, 0, 0, 0)), "a.tif"), {}, np.array([0, 1, 1]), 1e-6),
    "mixed CMYK": (
        saved(Image.new("CMYK", (8, 6), _CMYK), "a.tif"),
        {},
        (1 - np.array(_CMYK[:3]) / 255) * (1 - _CMYK[3] / 255),
        0.51 / 255,
    ),
    "CMYK in JPEG": (saved(Image.new("CMYK", (8, 6), (0, 0, 0, 255)), "a.jpg"), {}, np.zeros(3), 2 / 255),
    "1 bit": (saved(Image.fromarray(GREY > 127), "a.png"), {"channels": 1}, chw(GREY > 127), 0),
    "LAB": (saved(_LAB_WHITE, "a.tif"), {}, np.ones(3), 1.5 / 255),
    "LAB in colour": (
        saved(Image.frombytes("LAB", (1, 1), bytes(_LAB)).resize((8, 6)), "a.tif"),
        {},
        srgb_of_lab(*_LAB),
        1.5 / 255,
    ),
    "HSV-like YCbCr JPEG": (
        saved(Image.new("RGB", (8, 6), (255, 0, 0)), "a.jpg", quality=100),
        {},
        np.eye(3)[0],
        3 / 255,
    ),
    "12 bits in 16": (
        saved(Image.fromarray(TWELVE_BITS), "a.png"),
        {"channels": 1, "range": (0.0, 4095.0)},
        chw(TWELVE_BITS / 4095),
        1e-7,
    ),
    "10 bits, packed": packed(10),
    "12 bits, packed": packed(12),
    "14 bits, packed": packed(14),
    "16 bits in grey": (
        saved(Image.fromarray(WORDS[..., 0]), "a.tif"),
        {"channels": 1},
        chw(WORDS[..., 0] / 65535),
        1e-7,
    ),
    "16 bits in RGB, PNG": (encoded(WORDS, "a.png"), {}, chw(WORDS / 65535), 1e-7),
    "16 bits in RGB, TIFF": (encoded(WORDS, "a.tif", photometric="rgb"), {}, chw(WORDS / 65535), 1e-7),
    "16 bits in RGB, TIFF by planes": (
        encoded(WORDS.transpose(2, 0, 1).copy(), "a.tif", photometric="rgb", planarconfig="separate"),
        {},
        chw(WORDS / 65535),
        1e-7,
    ),
    "16 bits in RGBA, PNG": (
        encoded(np.dstack([WORDS, OPACITY.astype(np.uint16) * 257]), "a.png"),
        {},
        chw(over(WORDS / 65535, OPACITY / 255, 1.0)),
        1e-6,
    ),
    "float TIFF": (saved(Image.fromarray(np.float32(GREY / 255)), "a.tif"), {"channels": 1}, chw(GREY / 255), 1e-7),
    "float TIFF beyond 1": (
        saved(Image.fromarray(np.float32(GREY) - 100), "a.tif"),
        {"channels": 1, "range": (-100.0, 155.0)},
        chw(GREY / 255),
        1e-6,
    ),
    "float TIFF in RGB": (encoded(np.float32(COLOUR / 255), "a.tif", photometric="rgb"), {}, chw(COLOUR / 255), 1e-7),
    "upside down by EXIF": (
        saved(
            Image.fromarray(COLOUR[::-1, ::-1].copy()),
            "a.png",
            exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0",
        ),
        {},
        chw(COLOUR / 255),
        1e-7,
    ),
    "1x1": (saved(Image.new("RGB", (1, 1), (51, 102, 153)), "a.png"), {}, np.array([0.2, 0.4, 0.6]), 1e-7),
    "all black": (saved(Image.new("L", (80, 60)), "a.png"), {"channels": 1}, np.zeros(1), 0),
    "a name with a newline": (saved(_RGB, "a\nb.png"), {}, chw(COLOUR / 255), 1e-7),
    "a name that is no UTF-8": (saved(_RGB, os.fsdecode(b"\xff\xfe.png")), {}, chw(COLOUR / 255), 1e-7),
    "a leading dash": (saved(_RGB, "-a.png"), {}, chw(COLOUR / 255), 1e-7),
}


@pytest.mark.parametrize("case", VALUES)
def test_the_right_value(tmp_path, case):
    write, options, expected, tolerance = VALUES[case]
    preparation = Preparation(**{"channels": 3, "size": (6, 8), "background": (255, 255, 255), **options})
    (reading,) = read_images([ImageFile(write(tmp_path))], preparation, workers=1)
    assert reading.error is None, reading.error
    assert reading.beyond is None
    pixels = reading.pixels.numpy()
    pixels = pixels / 255 if pixels.dtype == np.uint8 else pixels
    expected = np.broadcast_to(expected if expected.ndim == 3 else expected[:, None, None], pixels.shape)
    np.testing.assert_allclose(pixels, expected, atol=tolerance, rtol=0)


TRUNCATED = of_bytes(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)), format="JPEG"
)


def huge(folder: Path) -> Path:
    Image.new("1", (20000, 10000)).save(folder / "a.png")
    return folder / "a.png"


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.png")
    return folder / "a.png"


def link(target: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "a.png").symlink_to(target)
        return folder / "a.png"

    return write


PROBLEMS = {
    "truncated": (content("a.jpg", TRUNCATED[: len(TRUNCATED) // 2]), "truncated"),
    "empty": (content("a.png", b""), "the file is empty"),
    "text": (content("a.jpg", b"not a picture"), "cannot identify"),
    "text with a newline in its name": (content("a\nb.jpg", b"not a picture"), "cannot identify"),
    "a dangling link": (link("nowhere.png"), "No such file"),
    "a looping link": (link("a.png"), "Too many levels"),
    "20000x10000": (huge, "20000 times 10000 pixels; expected 89478485 at most"),
    "a pipe": (a_pipe, "not a regular file"),
    "a folder": (lambda folder: folder, "a folder"),
    "NaN": (saved(Image.fromarray(np.full((6, 8), np.nan, np.float32)), "a.tif"), "NaN or infinite"),
    "16 bits in RGB, PPM": (
        content("a.ppm", b"P6 8 6 65535\n" + bytes(288)),
        "16 bits a channel .* PPM: .* TIFF or PNG",
    ),
    "premultiplied opacity of 16 bits": (
        encoded(np.zeros((6, 8, 4), np.uint16), "a.tif", photometric="rgb", extrasamples=["ASSOCALPHA"]),
        "expected grey or RGB",
    ),
    "signed bytes": (encoded(np.arange(-24, 24, dtype=np.int8).reshape(6, 8), "a.tif"), "pixels of int8; .* sign"),
    "signed bytes, compressed": (encoded(np.zeros((6, 8), np.int8), "a.tif", compression="zlib"), "pixels of int8"),
    "complex numbers": (encoded(np.zeros((6, 8), np.complex64), "a.tif"), "complex64; expected 8 or 16 bits"),
}


@pytest.mark.parametrize("case", PROBLEMS)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_right_words(tmp_path, case, monkeypatch):
    write, problem = PROBLEMS[case]
    path = write(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(UnreadableImage, match=f"(?s)^{path}: cannot be read as an image .*{problem}") as raised:
        decode(path, max_pixels=89_478_485)
    assert "\n" not in raised.value.problem


def test_what_pillow_refuses_is_read_when_it_is_asked_for(gradcon, digits_run, tmp_path):
    huge(tmp_path)
    result = gradcon("score", digits_run, tmp_path / "a.png")
    assert result.code == 3 and "20000 times 10000 pixels" in result.out
    assert gradcon("score", digits_run, tmp_path / "a.png", "--max-pixels", 200_000_000).code == 0


def run_gradcon(folder, *words, **options):
    environment = {**os.environ, **options.pop("environment", {})}
    command = [sys.executable, "-m", "gradcon_ext", *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, **options)


NAMES = sorted([b"\xff\xfe.png", "\u00fc.png".encode(), b"a\nb.png", b"-x.png", b'quote".png', b"comma,.png"])


@pytest.fixture
def odd_names(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in NAMES:
        (tmp_path / "photos" / os.fsdecode(name)).write_bytes(of_bytes(_RGB, format="PNG"))


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}]
)
def test_names_of_any_bytes_come_out_as_they_are(digits_run, odd_names, tmp_path, locale):
    done = run_gradcon(tmp_path, "score", "run", "photos", environment=locale)
    assert done.returncode == 0 and done.stderr.startswith(b"The detector holds no calibration")
    rows = csv.DictReader(io.StringIO(done.stdout.decode("utf-8", "surrogateescape"), newline=""))
    assert sorted(row["path"].encode("utf-8", "surrogateescape") for row in rows) == [
        b"photos/" + name for name in NAMES
    ]


def test_names_of_any_bytes_in_a_file(gradcon, digits_run, odd_names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for format in ("csv", "jsonl"):
        assert gradcon("score", "run", "photos", "--out", f"scores.{format}").code == 0
    assert b"\nphotos/\xff\xfe.png," in Path("scores.csv").read_bytes()
    paths = [json.loads(line)["path"] for line in Path("scores.jsonl").read_text().splitlines()]
    assert sorted(map(os.fsencode, paths)) == [b"photos/" + name for name in NAMES]


def test_a_name_that_looks_like_an_option(gradcon, digits_run, odd_names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "photos")
    assert gradcon("score", digits_run, "--", "-x.png").out.splitlines()[1].startswith("-x.png,")


def test_a_pipe_that_is_closed_early(digits_run, write_photos, tmp_path):
    write_photos(tmp_path / "photos", count=300)
    command = f"{sys.executable} -m gradcon_ext score run photos --batch-size 1 | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.startswith("path,")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_disk(digits_run, write_photos, tmp_path):
    write_photos(tmp_path / "photos")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "gradcon_ext", "score", "run", "photos"]
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "gradcon: error: standard output: No space left on device\n")


def test_an_output_that_is_a_folder(gradcon, digits_run, write_photos, tmp_path):
    (tmp_path / "scores.csv").mkdir()
    result = gradcon("score", digits_run, write_photos(tmp_path / "photos"), "--out", tmp_path / "scores.csv")
    assert (result.code, result.error) == (
        1,
        f"cannot write {tmp_path / 'scores.csv'}: it exists and is not a regular file",
    )


TRAIN = ("train", "--epochs", "1", "--lead-in", "0", "--width", "2", "--size", "8", "--batch-size", "4", "--quiet")


def test_nothing_is_learnt_from_black_images_alone(gradcon, tmp_path):
    for number in range(3):
        Image.new("RGB", (12, 9)).save(tmp_path / f"{number}.png")
    result = gradcon(*TRAIN, "--images", tmp_path, "--out", tmp_path / "run")
    assert (result.code, result.error) == (
        1,
        "all 1 training images are alike, and black: there is nothing to learn from them",
    )


def test_nothing_is_learnt_from_identical_images(gradcon, tmp_path):
    for number in range(4):
        Image.new("RGB", (12, 9), (77, 77, 77)).save(tmp_path / f"{number}.png")
    result = gradcon(*TRAIN, "--images", tmp_path, "--out", tmp_path / "run")
    assert (result.code, result.error) == (1, "all 2 training images are alike: there is nothing to learn from them")


NETWORK = """\
import torch


def of_colour():
    return torch.nn.Conv2d(3, 4, 3, stride=2)
"""
TAKEN = {
    "tiles, by default": (),
    "tiles at even contrast": ("--tile", "16", "--even-contrast"),
    "feature maps": ("--features", "hostile_network:of_colour", "--size", "24", "--grid", "4"),
}


@pytest.mark.parametrize("taken", TAKEN)
@pytest.mark.parametrize(("level", "words"), [(0, "alike, and black"), (1, "alike")])
def test_nothing_is_learnt_from_one_image_whatever_is_cut_from_it(gradcon, tmp_path, monkeypatch, taken, level, words):
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8) * level
    for number in range(10):
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "hostile_network.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    options = ("--images", tmp_path / "photos", "--out", tmp_path / "run", "--epochs", "1", "--quiet", *TAKEN[taken])
    result = gradcon("train", *options)
    assert (result.code, result.error) == (
        1,
        f"all 7 training images are {words}: there is nothing to learn from them",
    )


def test_two_images_are_little_to_learn_from(gradcon, tmp_path):
    for number, level in enumerate((10, 200)):
        Image.new("RGB", (12, 9), (level, level, level)).save(tmp_path / f"{number}.png")
    assert gradcon(*TRAIN, "--images", tmp_path, "--out", tmp_path / "run").code == 0
    result = gradcon("score", tmp_path / "run", tmp_path / "0.png", tmp_path / "1.png")
    assert result.code == 0
    scores = [float(row["anomaly"]) for row in csv.DictReader(io.StringIO(result.out))]
    assert np.isfinite(scores).all() and scores[0] != scores[1]


@pytest.fixture
def locked(monkeypatch):
    """Returns a function that locks a folder, for root too."""
    scandir, folders = os.scandir, set()

    def refusing(path="."):
        if os.path.realpath(path) in folders:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return lambda folder: folders.add(os.path.realpath(folder))


def test_a_folder_that_cannot_be_entered_costs_no_image_beside_it(gradcon, digits_run, write_photos, tmp_path, locked):
    write_photos(tmp_path / "photos", 2)
    locked(write_photos(tmp_path / "photos" / "locked", 2))
    result = gradcon("score", digits_run, tmp_path / "photos")
    assert result.code == 3
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [(os.path.basename(row["path"]), row["error"]) for row in rows] == [
        ("00.png", ""),
        ("01.png", ""),
        ("locked", "cannot be read as an image (Permission denied)"),
    ]
    result = gradcon("check", tmp_path / "photos", "--json")
    assert result.code == 3
    assert json.loads(result.out)["unreadable"] == {
        str(tmp_path / "photos" / "locked"): "cannot be read as an image (Permission denied)"
    }
    locked(tmp_path / "photos")
    result = gradcon("score", digits_run, tmp_path / "photos")
    assert result.code == 1 and "Permission denied" in result.error


@pytest.mark.parametrize(("room", "is_outlier"), [("good", False), ("broken", True), ("broken/deep", True)])
def test_a_folder_of_mvtec_ad_that_cannot_be_entered(write_photos, tmp_path, locked, room, is_outlier):
    for name in ("train/good", "test/good", "test/broken/deep", "ground_truth/broken"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_photos(tmp_path / name, 1)
    locked(tmp_path / "test" / room)
    locked(tmp_path / "ground_truth" / "broken")
    found = find_images(tmp_path, "test").files
    assert ImageFile(tmp_path / "test" / room, is_outlier=is_outlier) in found
    assert len(found) == 2


@pytest.mark.parametrize("linked", ["elsewhere", "photos"])
def test_linked_folders_are_read_once(gradcon, digits_run, write_photos, tmp_path, linked):
    write_photos(tmp_path / "photos", 2)
    write_photos(tmp_path / "elsewhere", 3)
    (tmp_path / "photos" / "link").symlink_to(tmp_path / linked)
    (tmp_path / "photos" / "again").symlink_to(tmp_path / linked)
    result = gradcon("score", digits_run, tmp_path / "photos")
    assert result.code == 0
    assert len(result.out.splitlines()) == 1 + (5 if linked == "elsewhere" else 2)
