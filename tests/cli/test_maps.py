from __future__ import annotations

import os
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gradcon_ext.cli.maps import safe_names

NAME = st.text(st.characters(codec=None, exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=300)
PATH = st.lists(NAME.filter(lambda name: name not in (".", "..")), min_size=1, max_size=3).map("/".join)


@given(st.lists(PATH, min_size=1, max_size=8, unique=True))
def test_names_are_safe_and_different(paths):
    names = safe_names(paths)
    assert len(set(names)) == len(paths)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9._~%-]{1,200}", name)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["photos/a/x.png", "photos/b/x.png"], ["a%2Fx.png", "b%2Fx.png"]),
        (["photos/a/x.png"], ["x.png"]),
        (["a/b.png", "a%2Fb.png"], ["a%2Fb.png", "a%252Fb.png"]),
        ([os.fsdecode(b"a/\xff\n.png"), "a/<b> '\".png"], ["%FF%0A.png", "%3Cb%3E%20%27%22.png"]),
        (["a/~", "a/b"], ["%7E", "b"]),
        (["0", "1", "2"], ["0", "1", "2"]),
    ],
)
def test_names(paths, names):
    assert safe_names(paths) == names


def test_two_heat_maps_of_each_image(gradcon, digits_run, write_photos, tmp_path):
    some, others = write_photos(tmp_path / "some", 3), write_photos(tmp_path / "others", 2, seed=1)
    Image.new("L", (8, 8)).save(others / "dark.png")
    os.link(others / "dark.png", os.path.join(os.fsencode(others), b"<\n\xff>.png"))
    words = ("score", digits_run, some, others, "--out", tmp_path / "scores.csv", "--maps", tmp_path / "new" / "maps")
    result = gradcon(*words, "--batch-size", 2)
    assert result.code == 0
    assert "14 heat maps" in result.err and "residual from " in result.err and "alignment from " in result.err
    files = sorted(path.name for path in (tmp_path / "new" / "maps").iterdir())
    images = [f"some%2F0{number}.png" for number in range(3)]
    images += ["others%2F00.png", "others%2F01.png", "others%2Fdark.png", "others%2F%3C%0A%FF%3E.png"]
    assert files == sorted(f"{image}.{name}.png" for image in images for name in ("residual", "alignment"))
    for name in files:
        with Image.open(tmp_path / "new" / "maps" / name) as picture:
            assert (picture.mode, picture.size) == ("RGB", (8, 8))
    again = gradcon(*words)
    assert again.code == 1 and str(tmp_path / "new" / "maps") in again.err


def test_an_array(gradcon, digits_run, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, 8, 8), np.uint8))
    assert gradcon("score", digits_run, tmp_path / "images.npy", "--maps", tmp_path / "maps").code == 0
    assert len(list((tmp_path / "maps").iterdir())) == 4


def test_a_folder_with_files_is_refused_before_anything_is_scored(gradcon, digits_run, write_photos, tmp_path):
    photos = write_photos(tmp_path / "photos", 2)
    result = gradcon("score", digits_run, photos, "--maps", photos)
    assert (result.code, result.out) == (1, "")
    assert str(photos) in result.error and len(list(photos.iterdir())) == 2


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_scored(gradcon, digits_run, write_photos, tmp_path):
    photos = write_photos(tmp_path / "photos", 2)
    (tmp_path / "file").write_text("no folder")
    result = gradcon("score", digits_run, photos, "--maps", tmp_path / "file" / "maps")
    assert result.code == 1 and "file is no folder" in result.error
