"""A detector's file as a chain of layers with its numbers in arrays of numpy. No torch here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradcon_ext.chain.chain import Chain, Source
from gradcon_ext.detector.balance import Balance
from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.facts import (
    EXTRA,
    MODEL,
    REFERENCE,
    DetectorFile,
    balance_of,
    read_detector,
    scores_tiles,
)
from gradcon_ext.detector.golden import TENSORS, Golden
from gradcon_ext.detector.parts import PAPERS
from gradcon_ext.storage.header import Stored

Array = npt.NDArray[Any]


class StoredTiles(NamedTuple):
    """What makes the scores of images of those of their tiles.

    Attributes:
        facts: how images are cut, compared and scored, as the file has it; not looked at.
        arrays: the further tensors of the file, likewise.
        part: of an image's score, decides what is an outlier; one of `gradcon_ext.detector.parts.PARTS`.
        calibration: what an image's p-value and verdict are made with, if there is one.
        golden: whole images with their scores, arrays, if the file has them.
    """

    facts: Any
    arrays: Mapping[str, Array]
    part: str
    calibration: Calibration | None
    golden: Golden | None


class StoredChain(NamedTuple):
    """What scores are computed from, without the model that was trained.

    Attributes:
        chain: the autoencoder.
        parameters: of its layers.
        references: in the order of `chain.references`.
        alpha: weight of the alignment in the anomaly score.
        balance: what the balanced score is made with, if there is one.
        preprocessing: how images are brought to the model's input.
        golden: images with their scores, arrays, if the file has them.
        part: of the score, decides what is an outlier; one of `gradcon_ext.detector.parts.PARTS`. Of single tiles it is
            the paper's, for what balances them is not in here.
        calibration: what p-values and verdicts are made with, if there is one; none of single tiles.
        takes_features: whether images are feature maps, whose values need not lie in [0, 1].
        tiles: what scores of images are made with, if the model scores their tiles.
    """

    chain: Chain
    parameters: Sequence[Array]
    references: Sequence[Array]
    alpha: float
    balance: Balance | None = None
    preprocessing: Mapping[str, Any] = {}
    golden: Golden | None = None
    part: str = PAPERS
    calibration: Calibration | None = None
    takes_features: bool = False
    tiles: StoredTiles | None = None


def read_stored_chain(path: str | os.PathLike[str]) -> tuple[Path, StoredChain]:
    """Read a detector from its file or from the folder of its run; also return the path of the file.

    Raises:
        FileNotFoundError: there is no such file or folder, or no detector in it.
        ValueError: the file is damaged, truncated, not a detector or of another version; or it holds no chain of
            layers, but another model that only torch can run. The message names the file.
    """
    file = read_detector(path)
    chain = file.chain
    if chain is None:
        raise ValueError(
            f"{file.path} holds no chain of layers: its model is none, or an earlier version wrote it; "
            "gradcon_ext.Scorer scores with it, in an installation with torch"
        )
    of_tiles = scores_tiles(file.facts["preprocessing"])
    try:
        arrays = {name: _numpy(name, stored) for name, stored in file.tensors.items()}
        return file.path, StoredChain(
            chain,
            [_value_of(source, arrays) for source in chain.parameters],
            [_array(arrays, REFERENCE + name) for name in chain.references],
            file.facts["alpha"],
            balance_of(file, arrays),
            file.facts["preprocessing"],
            _golden(file, "columns"),
            PAPERS if of_tiles else file.facts["part"],
            None if of_tiles else file.calibration,
            file.architecture is not None and file.architecture.takes_features,
            _tiles(file, arrays) if of_tiles else None,
        )
    except ValueError as error:
        raise ValueError(f"{file.path}: {error}") from error


def _tiles(file: DetectorFile, arrays: Mapping[str, Array]) -> StoredTiles:
    return StoredTiles(
        file.facts["preprocessing"]["tiles"],
        {name.removeprefix(EXTRA): array for name, array in arrays.items() if name.startswith(EXTRA)},
        file.facts["part"],
        file.calibration,
        _golden(file, "whole"),
    )


def _golden(file: DetectorFile, kind: str) -> Golden | None:
    if kind not in file.golden:
        return None
    stored, (images, scores) = file.golden[kind], TENSORS[kind]
    return stored._replace(images=_numpy(images, stored.images), scores=_numpy(scores, stored.scores))


def _numpy(name: str, stored: Stored) -> Array:
    try:
        return np.frombuffer(stored.data, stored.dtype).reshape(stored.shape)
    except TypeError as error:  # numpy has no bfloat16
        raise ValueError(f"{name}: {error}") from error


def _array(arrays: Mapping[str, Array], name: str) -> Array:
    if name not in arrays:
        raise ValueError(f"there is no tensor {name}")
    return arrays[name]


def _value_of(source: Source, arrays: Mapping[str, Array]) -> Array:
    """The numbers of a parameter."""
    if source.kind == "tensor":
        return _array(arrays, MODEL + source.name)
    prefix = MODEL + (f"{source.name}." if source.name else "")
    mean, variance = _array(arrays, prefix + "running_mean"), _array(arrays, prefix + "running_var")
    for name in ("weight", "bias"):
        if (prefix + name in arrays and arrays[prefix + name].shape != mean.shape) or variance.shape != mean.shape:
            raise ValueError(f"the tensors of {prefix} differ in shape")
    # In float64, for the shift may be a small difference of large numbers.
    scale = arrays.get(prefix + "weight", 1.0) / np.sqrt(variance.astype(np.float64) + source.eps)
    shift = arrays.get(prefix + "bias", 0.0) - mean * scale
    return np.asarray(scale if source.kind == "scale" else shift, mean.dtype)
