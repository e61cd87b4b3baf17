"""The IDX format, in which MNIST and Fashion-MNIST are published.

An IDX file is two zero bytes, a byte for the type of the elements, a byte for the number of dimensions, the
dimensions as 32-bit unsigned integers, and the elements in C order. Every number is big-endian. MNIST's page
describes it: http://yann.lecun.com/exdb/mnist.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradcon_ext.data.compressed import BoundedStream, open_decompressed

_ELEMENTS = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read an IDX file, raw or gzip-compressed, as an array in native byte order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an IDX file, or a damaged one: truncated, with bytes left over, or a broken gzip file.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: no such IDX file")
    with open_decompressed(path) as file:
        try:
            return _parse(file)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _parse(file: BoundedStream) -> npt.NDArray[Any]:
    magic = file.read(4)
    if len(magic) < 4:
        raise ValueError(f"not an IDX file: only {len(magic)} bytes long")
    if magic[:2] != b"\0\0" or magic[2] not in _ELEMENTS:
        raise ValueError(f"not an IDX file: magic number 0x{magic.hex()}")
    element = np.dtype(_ELEMENTS[magic[2]])
    sizes = file.read(4 * magic[3])
    header = 4 + 4 * magic[3]
    if 4 + len(sizes) < header:
        raise ValueError(f"truncated IDX file: {4 + len(sizes)} bytes, but the header alone has {header}")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    content = _elements(file, math.prod(shape) * element.itemsize, header, f"shape {shape} of {element.name}")
    return np.frombuffer(content, element).reshape(shape).astype(element.newbyteorder("="))


def _elements(file: BoundedStream, size: int, header: int, what: str) -> bytes:
    """Read `size` bytes, which the file must end with."""
    expected = header + size
    if expected > file.bound:
        reason = f"more than the {file.bound} that a file of its size may hold"
        raise ValueError(f"truncated IDX file: expected {expected} bytes for {what}, {reason}")
    content = file.read(size)
    if len(content) < size:
        raise ValueError(f"truncated IDX file: {header + len(content)} bytes; expected {expected} for {what}")
    if file.read(1):
        raise ValueError(f"bytes left over in the IDX file: more than {expected}, which are expected for {what}")
    return content
