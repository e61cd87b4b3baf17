from __future__ import annotations

import gzip
import io
import tarfile

import numpy as np
import pytest

from gradcon_ext.data import read_cifar10


def tar_bytes(contents):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def write_folder(folder, contents):
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def write_tar(path, contents):
    path.write_bytes(tar_bytes(contents))
    return path


def write_gzip(path, contents):
    path.write_bytes(gzip.compress(tar_bytes(contents)))
    return path


def check(data, contents):
    records = [np.frombuffer(content, np.uint8).reshape(2, 3073) for content in contents.values()]
    train = np.concatenate(records[:5])
    np.testing.assert_array_equal(data.train.images, train[:, 1:].reshape(10, 3, 32, 32))
    np.testing.assert_array_equal(data.test.images, records[5][:, 1:].reshape(2, 3, 32, 32))
    assert data.train.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert data.test.labels.tolist() == [5, 9]
    assert data.train.labels.dtype == np.int64
    assert len(data.class_names) == 10
    assert data.class_names[9] == "truck"


@pytest.mark.parametrize("write", [write_tar, write_gzip])
def test_an_archive_is_read(tmp_path, cifar10_contents, write):
    path = write(tmp_path / "archive", cifar10_contents)
    check(read_cifar10(path), cifar10_contents)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_read(tmp_path, cifar10_contents):
    check(read_cifar10(write_folder(tmp_path, cifar10_contents)), cifar10_contents)


def test_the_order_within_an_archive_does_not_matter(tmp_path, cifar10_contents):
    backwards = dict(reversed(cifar10_contents.items()))
    check(read_cifar10(write_gzip(tmp_path / "archive", backwards)), cifar10_contents)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no .*nowhere"):
        read_cifar10(tmp_path / "nowhere")


def test_a_missing_batch_is_named(tmp_path, cifar10_contents):
    del cifar10_contents["data_batch_3.bin"]
    with pytest.raises(ValueError, match=r"archive: .*data_batch_3\.bin.*binary"):
        read_cifar10(write_gzip(tmp_path / "archive", cifar10_contents))
    with pytest.raises(FileNotFoundError, match=rf"no data_batch_3\.bin in {tmp_path}"):
        read_cifar10(write_folder(tmp_path, cifar10_contents))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "0 bytes.* 3073"),
        (bytes(3073 + 5), "3078 bytes.* 3073"),
        (b"\x0a" + bytes(3072), "label 10.* 0 to 9"),
    ],
)
@pytest.mark.parametrize("write", [write_gzip, write_folder])
def test_a_damaged_batch_is_named(tmp_path, cifar10_contents, write, content, problem):
    cifar10_contents["data_batch_2.bin"] = content
    path = tmp_path if write is write_folder else tmp_path / "archive"
    with pytest.raises(ValueError, match=f"data_batch_2.bin: {problem}"):
        read_cifar10(write(path, cifar10_contents))


@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("write", [write_tar, write_gzip])
def test_a_truncated_archive_is_refused(tmp_path, cifar10_contents, write, share):
    path = write(tmp_path / "archive", cifar10_contents)
    content = path.read_bytes()
    if write is write_tar:
        content = content.rstrip(b"\0")  # the end of a tar file is padding
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="archive: "):
        read_cifar10(path)


def test_a_damaged_byte_in_gzip_is_found(tmp_path, cifar10_contents):
    """Pixels are stored uncompressed here, so that nothing but the checksum can tell."""
    content = bytearray(gzip.compress(tar_bytes(cifar10_contents), compresslevel=0))
    content[len(content) // 2] ^= 1
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(ValueError, match="archive: .*gzip.*CRC"):
        read_cifar10(tmp_path / "archive")


@pytest.mark.parametrize("content", [b"", b"not a tar file", gzip.compress(b"not a tar file", mtime=0)])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(ValueError, match="archive: "):
        read_cifar10(tmp_path / "archive")


def test_a_link_in_place_of_a_batch_is_refused(tmp_path):
    with tarfile.open(tmp_path / "archive", "w") as archive:
        member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(member)
    with pytest.raises(ValueError, match="archive: "):
        read_cifar10(tmp_path / "archive")


def test_the_published_archive(data_root):
    data = read_cifar10(data_root / "cifar-10" / "cifar-10-binary.tar.gz")
    assert data.train.images.shape == (50000, 3, 32, 32)
    assert data.test.images.shape == (10000, 3, 32, 32)
    assert data.train.images.dtype == np.uint8
    assert np.bincount(data.train.labels).tolist() == [5000] * 10
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    # Published facts: the first images are a frog and a cat, the channels' means 125.3, 123.0 and 113.9.
    assert data.class_names[data.train.labels[0]] == "frog"
    assert data.class_names[data.test.labels[0]] == "cat"
    means = data.train.images.mean(axis=(0, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(means, [125.3, 123.0, 113.9], atol=0.06)
