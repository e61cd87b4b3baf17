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

from gradcon_ext.data.compressed import open_decompressed

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
        content = file.read()
    try:
        return _parse(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parse(content: bytes) -> npt.NDArray[Any]:
    if len(content) < 4:
        raise ValueError(f"not an IDX file: only {len(content)} bytes long")
    if content[:2] != b"\0\0" or content[2] not in _ELEMENTS:
        raise ValueError(f"not an IDX file: magic number 0x{content[:4].hex()}")
    element = np.dtype(_ELEMENTS[content[2]])
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise ValueError(f"truncated IDX file: {len(content)} bytes, but the header alone has {header}")
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist())
    expected = header + math.prod(shape) * element.itemsize
    if len(content) != expected:
        problem = "truncated IDX file" if len(content) < expected else "bytes left over in the IDX file"
        raise ValueError(f"{problem}: {len(content)} bytes; expected {expected} for shape {shape} of {element.name}")
    values = np.frombuffer(content, element, offset=header).reshape(shape)
    return values.astype(element.newbyteorder("="))
