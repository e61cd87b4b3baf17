"""ONNX graphs in files: written, and run by onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gradcon_ext.detector.stored_chain import Array, StoredChain
from gradcon_ext.export.opened import Opened
from gradcon_ext.export.score_graph import score_graph
from gradcon_ext.storage.files import replace_file

_MOST_BYTES = 2**31 - 1
"""That a file of one piece can have."""


def write_onnx(path: Path, detector: StoredChain, in_bytes: bool = False, size: tuple[int, int] | None = None) -> None:
    """Write the scores of a detector as an ONNX graph; see `score_graph` for the arguments.

    Raises:
        ImportError: the package onnx is not installed.
        ValueError: as `score_graph` raises, or the graph would have more than 2 GiB.
    """
    of_tiles = () if detector.tiles is None else detector.tiles.arrays.values()
    numbers = sum(array.size for array in (*detector.parameters, *detector.references, *of_tiles))
    if 4 * numbers > _MOST_BYTES:
        raise ValueError(f"its {numbers} parameters and references are more than an ONNX file of 2 GiB holds")
    content = score_graph(detector, in_bytes, size).SerializeToString()
    with replace_file(path) as temporary:
        temporary.write_bytes(content)


def open_onnx(path: Path) -> Opened:
    """Open a graph that `write_onnx` wrote, for onnxruntime on the CPU.

    Raises:
        ImportError: the package onnxruntime is not installed.
        FileNotFoundError: there is no such file.
        ValueError: the file is none that onnxruntime runs.
    """
    runtime = _import_onnxruntime()
    with _what_is_wrong_with(path):
        session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
    in_bytes = given.type == "tensor(uint8)"

    def score(images: Array) -> dict[str, Array]:
        pixels = images if in_bytes else images.astype(np.float32) / np.float32(255)
        with _what_is_wrong_with(path):
            results = session.run(None, {given.name: pixels})
        return dict(zip((output.name for output in session.get_outputs()), results, strict=True))

    return Opened(tuple(given.shape[1:]), in_bytes, score)


@contextmanager
def _what_is_wrong_with(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # those of onnxruntime have no class in common
        raise ValueError(f"{path}: onnxruntime does not run it: {error}") from error


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ImportError("running an ONNX graph needs the package onnxruntime: pip install onnxruntime") from error
    return onnxruntime
