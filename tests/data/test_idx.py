from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gradcon_ext.data import read_idx

DTYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]
SAMPLE = np.arange(24, dtype=np.int16).reshape(2, 3, 4) - 300

MD5 = {
    "mnist/train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
    "mnist/train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
    "mnist/t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
    "mnist/t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
    "fashion-mnist/train-images-idx3-ubyte.gz": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "fashion-mnist/train-labels-idx1-ubyte.gz": "9018921c3c673c538a1fc5bad174d6f9",
    "fashion-mnist/t10k-images-idx3-ubyte.gz": "8181f5470baa50b63fa0f6fddb340f0a",
    "fashion-mnist/t10k-labels-idx1-ubyte.gz": "15d484375f8d13e6eb1aabb0c3f46965",
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some-idx"


@pytest.fixture(scope="session")
def drawn_path(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "drawn"


@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    ),
    compress=st.booleans(),
)
def test_what_was_written_is_read(drawn_path, idx_bytes, array, compress):
    content = idx_bytes(array)
    drawn_path.write_bytes(gzip.compress(content, mtime=0) if compress else content)
    read = read_idx(drawn_path)
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    assert read.flags.writeable
    np.testing.assert_array_equal(read, array)


@given(data=st.data(), compress=st.booleans())
def test_a_truncated_file_is_refused(drawn_path, idx_bytes, data, compress):
    content = idx_bytes(SAMPLE)
    content = gzip.compress(content, mtime=0) if compress else content
    drawn_path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ValueError, match="drawn: "):
        read_idx(drawn_path)


@given(position=st.integers(min_value=0, max_value=1000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_gzip_never_changes_the_values(drawn_path, idx_bytes, position, bit):
    content = bytearray(gzip.compress(idx_bytes(SAMPLE), mtime=0))
    content[position % len(content)] ^= 1 << bit
    drawn_path.write_bytes(content)
    try:
        read = read_idx(drawn_path)  # right where the bit means nothing: the time stamp, the deflate padding
    except ValueError as error:
        assert str(error).startswith(str(drawn_path))
    else:
        np.testing.assert_array_equal(read, SAMPLE)


@given(content=st.binary(max_size=64))
def test_any_bytes_are_read_or_refused_by_name(drawn_path, content):
    drawn_path.write_bytes(b"\0\0\x08" + content)
    try:
        read_idx(drawn_path)
    except ValueError as error:
        assert str(error).startswith(str(drawn_path))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not an IDX file: .* 0 bytes"),
        (b"\0\0\x08", "not an IDX file: .* 3 bytes"),
        (b"\x89PNG\r\n\x1a\n", "not an IDX file: .* 0x89504e47"),
        (b"\0\0\x0a\x01\0\0\0\0", "not an IDX file: .* 0x00000a01"),
        (b"\0\0\x08\x02\0\0\0\x01", "truncated.* 8 bytes.*header.* 12"),
        (
            b"\0\0\x08\x01\0\0\0\x02\x07",
            r"truncated.* 10 bytes.* \(2,\) .* 9",
        ),
        (b"\0\0\x08\x01\xff\xff\xff\xff\x07", "truncated"),
        (b"\0\0\x08\x01\0\0\0\x01\x07\x08", "left over.* 9"),
        (b"\0\0\x08\x80" + b"\0\0\0\x01" * 128 + b"\x07", "dimension"),
        (b"\x1f\x8b nonsense", "damaged gzip"),
    ],
)
def test_a_damaged_file_is_refused(path, content, problem):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"some-idx: .*{problem}"):
        read_idx(path)


def test_bytes_after_the_gzip_data_are_refused(path, idx_bytes):
    path.write_bytes(gzip.compress(idx_bytes(SAMPLE), mtime=0) + b"more")
    with pytest.raises(ValueError, match="some-idx: damaged gzip"):
        read_idx(path)


def test_the_content_and_not_the_name_tells_gzip(tmp_path, idx_bytes):
    raw, compressed = tmp_path / "raw.gz", tmp_path / "compressed"
    raw.write_bytes(idx_bytes(SAMPLE))
    compressed.write_bytes(gzip.compress(idx_bytes(SAMPLE), mtime=0))
    np.testing.assert_array_equal(read_idx(raw), SAMPLE)
    np.testing.assert_array_equal(read_idx(str(compressed)), SAMPLE)


def test_a_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match="some-idx"):
        read_idx(path)


@pytest.mark.parametrize("name", MD5)
def test_the_published_files_are_read_to_the_byte(data_root, idx_bytes, name):
    assert hashlib.md5(idx_bytes(read_idx(data_root / name))).hexdigest() == MD5[name]
