from __future__ import annotations

import fsspec
import pytest

from gradcon_ext.ray.places import Folder, each_image


@pytest.fixture
def bucket():
    """A folder of an object store, in memory."""
    files = fsspec.filesystem("memory")
    for name in ("b.png", "deep/a.JPG", "notes.txt", ".hidden.png", ".trash/c.png"):
        files.pipe_file(f"/bucket/photos/{name}", b"")
    yield "memory://bucket/photos"
    files.rm("/bucket", recursive=True)


def test_urls_of_folders_and_of_images(bucket):
    assert list(each_image([bucket])) == ["memory:///bucket/photos/b.png", "memory:///bucket/photos/deep/a.JPG"]
    assert list(each_image([f"{bucket}/missing.png"])) == [f"{bucket}/missing.png"]


@pytest.mark.parametrize("url", ["memory://bucket/empty", "memory://bucket/photos/notes.txt"])
def test_urls_without_images(bucket, url):
    with pytest.raises(ValueError, match=f"{url}: no images there"):
        list(each_image([url]))


@pytest.mark.parametrize("is_url", [False, True])
def test_a_folder(tmp_path, is_url):
    place = f"{tmp_path.as_uri()}/deep/scores" if is_url else tmp_path / "deep" / "scores"
    folder = Folder(place)
    assert folder.names() == set()
    folder.write("a", b"old")
    folder.write("a", b"new")
    folder.write("b", b"other")
    assert folder.names() == {"a", "b"}
    assert folder.read("a") == b"new"
    with folder.open("b") as file:
        assert file.read() == b"other"
    assert folder.path("a") == f"{place}/a"
    assert (tmp_path / "deep" / "scores" / "a").read_bytes() == b"new"


def test_unfinished_files_are_not_there_and_are_removed(tmp_path):
    unfinished = tmp_path / ".part-00000000.gradcon-partial-01234567.parquet"
    unfinished.write_bytes(b"")
    folder = Folder(tmp_path)
    assert folder.names() == set()
    folder.remove_unfinished()
    assert not unfinished.exists()
