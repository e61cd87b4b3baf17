"""Small files that would fill the memory if they were read in good faith."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from gradcon_ext.data import download as downloads
from gradcon_ext.data import read_cifar10, read_cure_tsr, read_idx
from gradcon_ext.data.image_folder import ImageFolder

MIB = 1 << 20
ZEROS = gzip.compress(bytes(64 * MIB))
"""64 MiB of zeros as a part of a gzip file, which is one file after another."""


@pytest.fixture
def bomb(tmp_path):
    """Writes a gzip file of some bytes and then 4 GiB of zeros."""

    def write(start):
        path = tmp_path / "bomb.gz"
        path.write_bytes(gzip.compress(start) + 64 * ZEROS)
        assert path.stat().st_size < 5 * MIB
        return path

    return write


@pytest.fixture(autouse=True)
def memory():
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 256 * MIB


def idx_header(*shape):
    return bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((60000, 28, 28), "left over.* 47040016"),
        ((1, 1 << 16, (1 << 16) - 1), "4294901776 bytes.* more"),
        ((0xFFFFFFFF,) * 200, "more than"),
    ],
)
def test_an_idx_file(bomb, shape, message):
    path = bomb(idx_header(*shape))
    with pytest.raises(ValueError, match=f"bomb.gz: .*{message}"):
        read_idx(path)


def test_an_idx_file_that_claims_more_than_it_holds(tmp_path):
    path = tmp_path / "claim.gz"
    path.write_bytes(gzip.compress(idx_header(50, MIB) + b"some"))
    with pytest.raises(ValueError, match="claim.gz: truncated.* 16 bytes.* 52428812"):
        read_idx(path)


def header(name, size, kind=tarfile.REGTYPE):
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


TARS = {
    "larger than published": (header("data_batch_1.bin", 4 << 30), "data_batch_1.bin.*4294967296 .*30730000"),
    "another file": (header("other", 4 << 30), "larger than"),
    "zeros behind the end": (b"", "larger than"),
    "long name": (header("name", 4 << 30, tarfile.GNUTYPE_LONGNAME), "header.* 4294967296 "),
    "facts": (header("facts", 4 << 30, tarfile.XHDTYPE), "header.* 4294967296 "),
}


@pytest.mark.parametrize("case", TARS)
@pytest.mark.parametrize("read", [read_cifar10, lambda path: read_cure_tsr(path, "test")])
def test_a_tar_file(bomb, case, read):
    start, message = TARS[case]
    if read is not read_cifar10 and case == "larger than published":
        start = header("Real_Test/ChallengeFree/01_01_00_00_0001.bmp", 4 << 30)
        message = "01_01_00_00_0001.bmp.*4294967296 .*16777216"
    path = bomb(start)
    with pytest.raises(ValueError, match=f"bomb.gz: .*{message}"):
        read(path)


def test_a_sparse_file_in_a_folder(tmp_path):
    with (tmp_path / "data_batch_1.bin").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="data_batch_1.bin.* 1099511627776 "):
        read_cifar10(tmp_path)


def png_of_zeros(width, height):
    """A PNG file of a grey image, row by row."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    start = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bmp_of(width, height):
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "BMP")
    content = bytearray(file.getvalue())
    content[18:26] = struct.pack("<2i", width, height)
    return bytes(content)


@pytest.mark.parametrize("content", [png_of_zeros(10_000, 12_000), bmp_of(60_000, 60_000), bmp_of(10_000, 9_500)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_of_too_many_pixels(tmp_path, content):
    path = tmp_path / "bomb"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path}: .*pixels"):
        ImageFolder([path], 1, 8)[0]


def test_a_sign_of_too_many_pixels(tmp_path):
    folder = tmp_path / "Real_Test" / "ChallengeFree"
    folder.mkdir(parents=True)
    (folder / "01_01_00_00_0001.bmp").write_bytes(bmp_of(3000, 3000))
    with pytest.raises(ValueError, match="01_01_00_00_0001.bmp: .*3000.*3000 pixels"):
        read_cure_tsr(tmp_path, "test")


def test_an_image_of_the_most_pixels_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "image.png")
    assert ImageFolder([tmp_path / "image.png"], 1, 8)[0].shape == (1, 8, 8)


def test_a_mirror_that_does_not_end(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "_LARGEST_FILE", 10)
    with (tmp_path / "file").open("wb") as file:
        bounded = downloads._BoundedWriter(file)
        bounded.write(bytes(10))
        with pytest.raises(ValueError, match=" 10 bytes"):
            bounded.write(b"1")
