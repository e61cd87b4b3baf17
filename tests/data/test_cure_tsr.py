from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.data import CURE_TSR_CHALLENGES, CURE_TSR_SIGNS, read_cure_tsr, resize

TRAIN = "Real_Train/ChallengeFree"
TEST = "Real_Test/ChallengeFree"


def bmp(seed, height=9, width=7):
    """The content of a BMP file, and its pixels (3, H, W)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "BMP")
    return file.getvalue(), pixels.transpose(2, 0, 1)


def write_folder(folder, contents):
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_tar(folder, contents, mode="w", prefix=""):
    with tarfile.open(folder / "archive", mode) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return folder / "archive"


def write_gzip(folder, contents):
    return write_tar(folder, contents, "w:gz", "./CURE-TSR/")


writers = pytest.mark.parametrize("write", [write_folder, write_tar, write_gzip])


@pytest.fixture
def contents():
    """Files out of order, in folders that are not asked for, and of other kinds."""
    return {
        f"{TRAIN}/01_14_00_00_0002.bmp": bmp(0)[0],
        f"{TRAIN}/01_06_00_00_0001.bmp": bmp(1, 5, 12)[0],
        f"{TRAIN}/01_14_00_00_0001.BMP": bmp(2)[0],
        f"{TRAIN}/notes.txt": b"no image",
        f"{TRAIN}/._01_14_00_00_0001.bmp": b"no image",
        f"{TEST}/01_01_00_00_0001.bmp": bmp(3)[0],
        "Real_Test/Snow-5/01_12_11_05_0007.bmp": bmp(4)[0],
        "Real_Test/Snow-4/01_12_11_04_0007.bmp": bmp(5)[0],
        "Unreal_Train/ChallengeFree/02_01_00_00_0001.bmp": bmp(6)[0],
    }


@writers
def test_images_come_in_the_order_of_their_names(tmp_path, contents, write):
    read = read_cure_tsr(write(tmp_path, contents), "train", size=6)
    assert read.images.dtype == np.uint8
    assert read.labels.dtype == np.int64
    assert [CURE_TSR_SIGNS[label] for label in read.labels] == ["stop", "parking", "parking"]
    expected = [resize(pixels[None], 6) for _, pixels in (bmp(1, 5, 12), bmp(2), bmp(0))]
    np.testing.assert_array_equal(read.images, np.concatenate(expected))


@writers
def test_split_and_condition_choose_the_folder(tmp_path, contents, write):
    path = write(tmp_path, contents)
    for seed, label, arguments in ((3, 0, ("test",)), (4, 11, ("test", "Snow", 5)), (5, 11, ("test", "Snow", 4))):
        read = read_cure_tsr(str(path), *arguments, size=(9, 7))
        np.testing.assert_array_equal(read.images, bmp(seed)[1][None])
        assert read.labels.tolist() == [label]


@pytest.mark.parametrize(("number", "challenge"), list(enumerate(CURE_TSR_CHALLENGES, start=1)))
def test_every_challenge_has_its_number(tmp_path, number, challenge):
    write_folder(tmp_path, {f"Real_Test/{challenge}-2/01_03_{number:02}_02_0001.bmp": bmp(0)[0]})
    assert read_cure_tsr(tmp_path, "test", challenge, 2).labels.tolist() == [2]


@writers
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Snow-5/01_12_10_05_0001.bmp", "01_??_11_05_????.bmp"),  # another challenge
        ("Snow-5/01_12_11_04_0001.bmp", "01_??_11_05_????.bmp"),  # another level
        ("Snow-5/02_12_11_05_0001.bmp", "01_??_11_05_????.bmp"),  # not real
        ("Snow-5/01_00_11_05_0001.bmp", "01_??_11_05_????.bmp"),  # no sign type
        ("Snow-5/01_15_11_05_0001.bmp", "01_??_11_05_????.bmp"),
        ("Snow-5/01_12_11_05_001.bmp", "01_??_11_05_????.bmp"),  # malformed
        ("Snow-5/sign.bmp", "01_??_11_05_????.bmp"),
        ("ChallengeFree/01_12_11_05_0001.bmp", "01_??_00_00_????.bmp"),
    ],
)
def test_a_name_that_does_not_fit_its_folder_is_refused(tmp_path, write, name, expected):
    condition = ("Snow", 5) if name.startswith("Snow") else ()
    path = write(tmp_path, {f"Real_Test/{name}": bmp(0)[0]})
    with pytest.raises(ValueError) as caught:
        read_cure_tsr(path, "test", *condition)
    assert str(caught.value).startswith(f"{path}: Real_Test/{name}: ")
    assert f" {expected} " in str(caught.value) and "01 to 14" in str(caught.value)


@writers
@pytest.mark.parametrize("content", [b"", b"no image", bmp(0)[0][:100], b"\x89PNG\r\n\x1a\n"])
def test_a_damaged_image_is_named(tmp_path, write, content):
    path = write(tmp_path, {f"{TEST}/01_01_00_00_0001.bmp": content})
    with pytest.raises(ValueError, match=f"{path}: {TEST}/01_01_00_00_0001.bmp: .*BMP"):
        read_cure_tsr(path, "test")


@writers
def test_a_missing_folder_is_named(tmp_path, contents, write):
    with pytest.raises(FileNotFoundError, match="Real_Test/Haze-3 of "):
        read_cure_tsr(write(tmp_path, contents), "test", "Haze", 3)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "nowhere")):
        read_cure_tsr(tmp_path / "nowhere", "test")


def test_a_tar_file_that_ends_between_two_images_is_truncated(tmp_path, contents):
    path = write_tar(tmp_path, contents)
    with tarfile.open(path) as archive:
        third = archive.getmembers()[2].offset
    path.write_bytes(path.read_bytes()[:third])
    with pytest.raises(ValueError, match=f"{path}: truncated"):
        read_cure_tsr(path, "train")


@pytest.mark.parametrize("share", [0.3, 0.9])
@pytest.mark.parametrize("write", [write_tar, write_gzip])
def test_a_truncated_archive_is_refused(tmp_path, contents, write, share):
    path = write(tmp_path, contents)
    content = path.read_bytes().rstrip(b"\0")  # the end of a tar file is padding
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="archive: damaged"):
        read_cure_tsr(path, "train")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("all",), "'all'.*train or test"),
        (("test", "Fog", 1), "'Fog'.*Decolorization, LensBlur, "),
        (("test", "Snow", 0), "level.* 1 to 5.* 0$"),
        (("test", "Snow", 6), "level.* 1 to 5.* 6$"),
        (("test", "Snow"), "challenge 'Snow'.*level None"),
        (("test", None, 3), "challenge None.*level 3"),
        (("test", None, None, 0), "size .* 0$"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, contents, arguments, problem):
    with pytest.raises(ValueError, match=problem):
        read_cure_tsr(write_folder(tmp_path, contents), *arguments)


def test_real_traffic_signs(data_root):
    path = data_root / "gtsrb-as-cure-tsr" / "gtsrb-as-cure-tsr.tar.gz"
    for split, count in (("train", 4110), ("test", 1340)):
        read = read_cure_tsr(path, split)
        assert read.images.shape == (count, 3, 28, 28)
        assert set(read.labels) == set(range(14))
        assert (np.diff(read.labels) >= 0).all()
        assert (read.images.std(axis=(1, 2, 3)) > 1).all()
