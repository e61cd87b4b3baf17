from __future__ import annotations

import json
import os

import pytest
from PIL import Image

from gradcon_ext.data.reading import ImageFile, find_images


@pytest.fixture
def write(tmp_path):
    """Writes small images, and what is no image, by their names."""

    def files(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".png":
                Image.new("L", (2, 2)).save(path)
            else:
                path.write_text("no image")
        return tmp_path

    return files


def names(found, folder):
    return [file.path.relative_to(folder).as_posix() for file in found.files]


def reasons(found, folder):
    return {entry.path.relative_to(folder).as_posix(): entry.reason for entry in found.ignored}


def test_what_is_ignored_is_told_with_its_reason(write):
    folder = write("b.png", "a/c.png", "notes.txt", ".hidden.png", ".cache/d.png")
    os.mkfifo(folder / "pipe.png")
    found = find_images(folder)
    assert names(found, folder) == ["a/c.png", "b.png"]
    assert reasons(found, folder) == {
        ".cache": "hidden",
        ".hidden.png": "hidden",
        "notes.txt": "no suffix of an image",
        "pipe.png": "not a regular file",
    }


def test_a_linked_folder_is_followed_once_and_the_folder_itself_comes_first(write, tmp_path):
    folder = write("in/z/a.png", "out/b.png") / "in"
    for link, target in (
        ("a", folder / "z"),
        ("loop", folder),
        ("other", tmp_path / "out"),
        ("twice", tmp_path / "out"),
    ):
        (folder / link).symlink_to(target)
    (tmp_path / "out" / "back").symlink_to(folder)
    found = find_images(folder)
    assert names(found, folder) == ["other/b.png", "z/a.png"]
    assert set(reasons(found, folder)) == {"a", "loop", "twice", "other/back"}


def test_a_link_to_nothing_is_an_image_that_cannot_be_read(write):
    folder = write("a.png")
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "gone.txt").symlink_to("nowhere")
    assert names(find_images(folder), folder) == ["a.png", "gone.png", "loop.png"]


MVTEC = (
    "train/good/0.png",
    "test/good/1.png",
    "test/broken/2.png",
    "test/scratch/3.png",
    "ground_truth/broken/2_mask.png",
    "license.txt",
)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("train", {"train/good/0.png": False}),
        ("test", {"test/good/1.png": False, "test/broken/2.png": True, "test/scratch/3.png": True}),
        (
            "all",
            {
                "train/good/0.png": False,
                "test/good/1.png": False,
                "test/broken/2.png": True,
                "test/scratch/3.png": True,
            },
        ),
    ],
)
def test_the_layout_of_mvtec_ad(write, part, expected):
    folder = write(*MVTEC)
    found = find_images(folder, part)
    assert {file.path.relative_to(folder).as_posix(): file.is_outlier for file in found.files} == expected
    assert reasons(found, folder)["ground_truth/broken/2_mask.png"] == "a mask"
    assert len(found.files) + len(found.ignored) == len(MVTEC)


def test_lists_are_read_from_their_own_folder(write, tmp_path):
    folder = write("a.png", "b\nc.png")
    (folder / "list.csv").write_text('name,path,is_outlier\nx,a.png,0\ny,"b\nc.png",true\nz,/far/d.png,\n', newline="")
    lines = [
        {"path": "a.png", "is_outlier": False, "score": 1},
        {"path": "b\nc.png", "is_outlier": 1},
        {"path": "/far/d.png"},
    ]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    expected = [
        ImageFile(folder / "a.png", 0, False),
        ImageFile(folder / "b\nc.png", 0, True),
        ImageFile(type(folder)("/far/d.png"), 0, None),
    ]
    for name in ("list.csv", "list.jsonl"):
        assert find_images(folder / name).files == expected
        assert find_images(folder / name, "train").files == [expected[0], expected[2]]
        assert [entry.path for entry in find_images(folder / name, "train").ignored] == [folder / "b\nc.png"]


def test_a_list_names_bytes_and_frames(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"\xef\xbb\xbfpath,frame\n\xff.tif,3\n")
    assert find_images(tmp_path / "list.csv").files == [
        ImageFile(tmp_path / os.fsdecode(b"\xff.tif"), 3, names_frame=True)
    ]
    (tmp_path / "list.jsonl").write_text('{"path": "a.tif", "frame": 0}\n{"path": "a.tif"}\n')
    assert [file.names_frame for file in find_images(tmp_path / "list.jsonl").files] == [True, False]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "path, is_outlier\nb.png, 1\nc.png,0\n"),
        ("a.csv", 'is_outlier, path , frame\n1, b.png , \n0, "c.png", 0 \n'),
        ("a.csv", "Path,Is Outlier\nb.png,True \nc.png,False\n"),
        ("a.csv", "PATH,is-outlier\nb.png,1\nc.png,0\n"),
        ("a.csv", "path,isOutlier\n\nb.png,1\nc.png,0\n"),
        ("a.jsonl", '{"path": "b.png", "is_outlier ": " 1"}\n{"Path": "c.png", "IsOutlier": 0}\n'),
    ],
)
def test_columns_that_are_spelled_a_little_otherwise(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    named = "frame" in text  # of the second image
    expected = [ImageFile(tmp_path / "b.png", 0, True), ImageFile(tmp_path / "c.png", 0, False, names_frame=named)]
    assert find_images(tmp_path / name).files == expected


def test_blanks_of_names_are_kept(tmp_path):
    (tmp_path / "a.csv").write_text("path,is_outlier\n b.png ,1\n")
    assert find_images(tmp_path / "a.csv").files == [ImageFile(tmp_path / " b.png ", 0, True)]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.csv", "path,is_outlier,Is_Outlier\nb.png,0,1\n", 'several columns "is_outlier"'),
        ("a.jsonl", '{"path": "b.png", "PATH": "c.png"}\n', 'line 1: there are several columns "path"'),
        ("a.csv", "path, is_outlier\nb.png, 2\n", "line 2: expected is_outlier to be 0 or 1, got .2."),
        ("a.csv", "", "no header"),
        ("a.csv", "file\nb.png\n", 'expected a column "path", got .file.'),
        ("a.csv", "path\n\nb.png\n,\n", "line 4: expected a path"),
        ("a.csv", "path,is_outlier\nb.png,2\n", "line 2: expected is_outlier to be 0 or 1, got .2."),
        ("a.csv", "path,frame\nb.png,-1\n", "line 2: expected a frame from 0, got .-1."),
        ("a.csv", 'path\n"b.png', "unexpected end"),
        ("a.csv", "path\n", "no images in this list"),
        ("a.jsonl", "", "no images in this list"),
        ("a.jsonl", '{"path": "b.png"}\n[1]\n', "line 2: expected an object"),
        ("a.jsonl", '{"path": 3}\n', "line 1: expected a path, got 3"),
        ("a.jsonl", "{\n", "line 1: "),
        ("a.jsonl", '{"path": "a\\u0000b"}', "line 1: expected a path"),
    ],
)
def test_a_damaged_list(tmp_path, name, text, problem):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{tmp_path / name}: .*{problem}"):
        find_images(tmp_path / name)


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="an empty path"):
        find_images("")
