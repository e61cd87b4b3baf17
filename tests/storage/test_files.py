from __future__ import annotations

import os
import sys

import pytest

from gradcon_ext.storage.files import replace_file


def test_the_file_appears_on_success_only(tmp_path):
    path = tmp_path / "scores.csv"
    with replace_file(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".csv"
        assert not path.exists()
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["scores.csv"]


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replace_file(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(failure), replace_file(path) as temporary:
        temporary.write_text("half")
        raise failure
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_two_writers_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with replace_file(path) as first, replace_file(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the outer one ends last


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_is_replaced_and_what_it_points_to_is_not(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_text("old")
    link.symlink_to(path)
    with replace_file(link) as temporary:
        temporary.write_text("new")
    assert not link.is_symlink()
    assert link.read_text() == "new"
    assert path.read_text() == "old"


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError, match=rf"{path.parent} "), replace_file(path):
        pass


def test_what_is_not_a_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a regular file"), replace_file(tmp_path):
        pass
    with pytest.raises(ValueError, match="not a regular file"), replace_file(os.devnull):
        pass


def test_a_body_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replace_file(tmp_path / "file"):
        pass
    assert os.listdir(tmp_path) == []
