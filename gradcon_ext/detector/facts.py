"""What a detector's file holds beside its numbers, with torch and without. Imports no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gradcon_ext.chain.architecture import Architecture
from gradcon_ext.chain.chain import Chain
from gradcon_ext.detector.balance import TERMS, WEIGHTS, Balance, Subspace
from gradcon_ext.detector.calibration import TENSOR, Calibration, calibration_of
from gradcon_ext.detector.golden import Golden, take_golden
from gradcon_ext.detector.parts import OF_BALANCE, PAPERS, PARTS
from gradcon_ext.detector.place import detector_file
from gradcon_ext.storage.header import Stored, check_facts, read_stored

KIND = "detector"
FORMAT_VERSION = 1
MODEL = "model."
"""What the names of a model's tensors begin with,"""
REFERENCE = "reference."
"""and those of the references."""
EXTRA = "extra."
"""What the names of a detector's further tensors begin with."""
BALANCE = tuple(f"balance.{space}.{array}" for space in ("direction", "code") for array in ("mean", "directions"))
"""The tensors of a balance, where the detector has one."""

_TYPES = {
    "architecture": dict | None,
    "layers": list,
    "count": int,
    "alpha": int | float,
    "preprocessing": dict,
    "training": dict,
    "chain": dict | None,
    "balance": dict | None,
    "part": str,
    "calibration": dict | None,
    "golden": dict | None,
}


class DetectorFile(NamedTuple):
    """What a detector's file holds.

    Attributes:
        path: of the file.
        tensors: by their names, but for those of the calibration and the golden scores.
        facts: as `checked` returns them.
        architecture: of the model, if it is one of `gradcon_ext.models`.
        chain: of layers that the model is, if it is one.
        calibration: of the detector, if it has one.
        golden: images with their scores, by the kinds of `gradcon_ext.detector.golden.TENSORS` that it has.
    """

    path: Path
    tensors: dict[str, Stored]
    facts: dict[str, Any]
    architecture: Architecture | None
    chain: Chain | None
    calibration: Calibration | None
    golden: dict[str, Golden]


def read_detector(path: str | os.PathLike[str]) -> DetectorFile:
    """Read a detector from its file or from the folder of its run, and check all that can be without its model.

    Raises:
        FileNotFoundError: there is no such file or folder, or no detector in it.
        ValueError: the file is damaged, truncated, not a detector or of another version; it lacks a fact, or has one
            of another type or out of range; or its architecture, its chain of layers and its tensors do not fit each
            other. The message names the file.
    """
    file = detector_file(Path(path))
    tensors, header = read_stored(file, KIND, FORMAT_VERSION)
    facts = checked(file, header)
    try:
        architecture = None if facts["architecture"] is None else Architecture.read(facts["architecture"])
        chain = None if facts["chain"] is None else _chain(facts["chain"], facts["layers"])
        calibration = _calibration(facts, tensors)
        golden = take_golden(facts, tensors)
        if architecture is not None:
            _check_tensors(architecture, facts, tensors)
            chain = _same_chain(architecture, facts["layers"], chain)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return DetectorFile(file, tensors, facts, architecture, chain, calibration, golden)


def checked(path: str | os.PathLike[str], header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts in the header of a detector's file, which earlier versions wrote fewer of.

    Chain, balance, calibration and golden are None where there was none of them yet, and the part is the paper's.

    Raises:
        ValueError: a fact is missing, of another type or out of range; the message names the file.
    """
    facts = {"chain": None, "balance": None, "part": PAPERS, "calibration": None, "golden": None, **header}
    check_facts(path, facts, _TYPES)
    layers, count, alpha = facts["layers"], facts["count"], facts["alpha"]
    if not layers or not 0 <= count < 2**63 or not 0 <= alpha <= sys.float_info.max:
        given = f"layers = {layers}, count = {count}, alpha = {alpha}"[:200]
        raise ValueError(
            f"{path}: expected one or more layers, and a count and a finite alpha of at least 0, got {given}"
        )
    if not all(isinstance(name, str) for name in layers) or len(set(layers)) < len(layers):
        raise ValueError(f"{path}: expected layers to be different names, got {str(layers)[:200]}")
    if facts["balance"] is not None and not _is_balance(facts["balance"]):
        raise ValueError(f"{path}: expected center and scale of a balance, got {str(facts['balance'])[:200]}")
    if facts["part"] not in PARTS or (
        facts["part"] in OF_BALANCE and not has_balance(facts["balance"], facts["preprocessing"])
    ):
        raise ValueError(f"{path}: the part {facts['part'][:80]!r} is none of a score of this detector")
    return facts


def scores_tiles(preprocessing: Mapping[str, Any]) -> bool:
    """Whether a detector with this preprocessing scores images by their tiles, and so its model single tiles alone."""
    return "tiles" in preprocessing


def has_balance(balance: object, preprocessing: Mapping[str, Any]) -> bool:
    """Whether a detector with this balance and this preprocessing has one, of whole images or of tiles."""
    tiles = preprocessing.get("tiles")
    return balance is not None or (isinstance(tiles, dict) and tiles.get("balance") is not None)


def balance_of(file: DetectorFile, arrays: Mapping[str, Any]) -> Balance | None:
    """Return the balance of a detector's file, if it has one.

    Args:
        file: with its facts, and its chain if it has one.
        arrays: the file's tensors, as what is to be computed with.

    Raises:
        ValueError: the tensors are missing, of wrong shapes, not finite, or of other codes than those of the chain.
    """
    facts = file.facts["balance"]
    if facts is None:
        return None
    missing = [name for name in BALANCE if name not in arrays]
    if missing:
        raise ValueError(f"there is no tensor {missing[0]}")
    direction, code = (_subspace(arrays[mean], arrays[directions]) for mean, directions in (BALANCE[:2], BALANCE[2:]))
    balance = Balance(direction, code, **{"weights": WEIGHTS, **facts})
    if file.chain is not None:
        balance.check_size(file.chain.code_size)
    return balance


def _calibration(facts: Mapping[str, Any], tensors: dict[str, Stored]) -> Calibration | None:
    """The calibration, whose tensor is taken out of the others."""
    stored = tensors.pop(TENSOR) if facts["calibration"] is not None and TENSOR in tensors else None
    calibration = calibration_of(facts["calibration"], stored)
    if calibration is None:
        return None
    parts = calibration.scores.keys()
    # The part that decides has to be there, and none that only a balance makes.
    if facts["part"] not in parts or (
        not has_balance(facts["balance"], facts["preprocessing"]) and not parts.isdisjoint(OF_BALANCE)
    ):
        raise ValueError(f"a calibration of {', '.join(parts)} is none of this detector")
    return calibration


def _subspace(mean: Any, directions: Any) -> Subspace:
    if len(mean.shape) != 1 or len(directions.shape) != 2 or len(directions) != len(mean):
        raise ValueError(f"a balance has mean {tuple(mean.shape)} and directions {tuple(directions.shape)}")
    if not float(abs(mean).sum() + abs(directions).sum()) < float("inf"):
        raise ValueError("a balance holds numbers that are not finite")
    return Subspace(mean, directions)


def _is_balance(entry: Mapping[str, Any]) -> bool:
    """Whether it has for each part a finite center, a finite positive scale and, unless it is earlier, a weight."""
    if entry.keys() not in ({"center", "scale"}, {"center", "scale", "weights"}):
        return False
    if not all(isinstance(part, dict) and part.keys() == set(TERMS) for part in entry.values()):
        return False
    numbers = [number for part in entry.values() for number in part.values()]
    if not all(isinstance(number, float) and abs(number) < float("inf") for number in numbers):
        return False
    return all(number > 0 for number in entry["scale"].values())


def _chain(entry: Mapping[str, Any], layers: Sequence[str]) -> Chain:
    try:
        chain = Chain.from_json(entry)
    except ValueError as error:
        raise ValueError(f"chain: {error}") from error
    if list(chain.references) != list(layers):
        raise ValueError(f"chain: expected the references {list(layers)}, got {list(chain.references)}")
    return chain


def chain_of_architecture(architecture: Architecture, layers: Sequence[str]) -> Chain | None:
    """Return the chain of layers that a model is; none where another weight is constrained than a chain allows."""
    try:
        return architecture.chain(layers)
    except ValueError:
        return None


def _same_chain(architecture: Architecture, layers: Sequence[str], given: Chain | None) -> Chain | None:
    """The chain of an architecture, which that in the file has to be, if there is one."""
    expected = chain_of_architecture(architecture, layers)
    if given is not None and given != expected:
        raise ValueError(f"its chain of layers is not that of its architecture, {architecture}")
    return expected


def _check_tensors(architecture: Architecture, facts: Mapping[str, Any], tensors: Mapping[str, Stored]) -> None:
    """Check that the tensors are those of an architecture, all of float32 or all of float64."""
    layers = facts["layers"]
    shapes = architecture.shapes
    unknown = [name for name in layers if name not in shapes]
    if unknown:
        raise ValueError(f"the model has no parameter {unknown[0]}")
    dtypes = {stored.dtype for stored in tensors.values()}
    dtype = next(iter(dtypes)) if len(dtypes) == 1 and dtypes <= {"float32", "float64"} else "float32"
    expected = {MODEL + name: f"{dtype} {shape}" for name, shape in shapes.items()}
    expected |= {REFERENCE + name: f"{dtype} {shapes[name]}" for name in layers}
    if facts["balance"] is not None:
        expected |= _given_balance(tensors, dtype)
    expected |= {name: f"{dtype} {stored.shape}" for name, stored in tensors.items() if name.startswith(EXTRA)}
    check_descriptions({name: f"{stored.dtype} {stored.shape}" for name, stored in tensors.items()}, expected)


def _given_balance(tensors: Mapping[str, Stored], dtype: str) -> dict[str, str]:
    """Describe the tensors of a balance, whose shapes no architecture tells."""
    return {name: f"{dtype} {tensors[name].shape if name in tensors else ()}" for name in BALANCE}


def check_descriptions(given: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Raise ValueError unless all tensors of a file, and no others, are expected, with their dtypes and shapes."""
    for name in sorted(given.keys() | expected.keys()):
        descriptions = [tensors.get(name, "no such tensor") for tensors in (expected, given)]
        if descriptions[0] != descriptions[1]:
            raise ValueError(f"{name}: expected {descriptions[0]}, got {descriptions[1]}")
