from __future__ import annotations

import numpy as np
import pytest

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(array):
    """The content of the IDX file of an array."""
    header = bytes([0, 0, CODES[array.dtype.name], array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture(scope="session", name="idx_bytes")
def _idx_bytes():
    return idx_bytes


@pytest.fixture
def write_mnist():
    """Returns a writer of four IDX files in MNIST's names: 6 training and 4 test images of 2 x 3 pixels."""

    def write(folder, suffix="", mark="-"):
        folder.mkdir(parents=True, exist_ok=True)
        for split, count in (("train", 6), ("t10k", 4)):
            images = np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3)
            labels = np.arange(count, dtype=np.uint8)
            (folder / f"{split}-images{mark}idx3-ubyte{suffix}").write_bytes(idx_bytes(images))
            (folder / f"{split}-labels{mark}idx1-ubyte{suffix}").write_bytes(idx_bytes(labels))
        return folder

    return write


@pytest.fixture
def cifar10_contents():
    """The six files of CIFAR-10's binary version with two records each; file k begins with label k."""
    generator = np.random.default_rng(0)
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    records = generator.integers(0, 256, (6, 2, 3073), dtype=np.uint8)
    records[:, 0, 0] = range(6)
    records[:, 1, 0] = 9
    return {name: content.tobytes() for name, content in zip(names, records, strict=True)}
