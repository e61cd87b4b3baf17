"""A trained detector, and the one file that holds it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradcon_ext import models
from gradcon_ext.chain.architecture import Architecture
from gradcon_ext.chain.chain import Chain, NotAChain
from gradcon_ext.chain.tracing import trace_chain
from gradcon_ext.data.image_size import height_width
from gradcon_ext.detector.balance import Balance
from gradcon_ext.detector.calibration import TENSOR, Calibration
from gradcon_ext.detector.facts import (
    BALANCE,
    EXTRA,
    FORMAT_VERSION,
    KIND,
    MODEL,
    REFERENCE,
    DetectorFile,
    balance_of,
    chain_of_architecture,
    check_descriptions,
    read_detector,
)
from gradcon_ext.detector.golden import TENSORS, Golden
from gradcon_ext.detector.golden_scores import golden_of
from gradcon_ext.detector.parts import PAPERS
from gradcon_ext.detector.verification import proven_chain
from gradcon_ext.losses import loss_of
from gradcon_ext.storage.tensor_file import tensor_of, with_prefix, without_prefix, write_tensors
from gradcon_ext.version import __version__


@dataclass
class Detector:
    """A trained model with the references that its gradients are compared to.

    Attributes:
        model: the model, in evaluation mode.
        references: the running mean training gradient of each constrained weight, by the weight's name.
        count: how many gradients each reference averages.
        alpha: weight of the alignment in the anomaly score.
        preprocessing: how images are brought to the model's input; what JSON can hold.
        training: facts about the training; what JSON can hold.
        balance: what the balanced score is made with, by `gradcon_ext.balanced`.
        part: of the score, decides what is an outlier; one of `gradcon_ext.detector.parts.PARTS`.
        calibration: what p-values and verdicts are made with, by `gradcon_ext.calibrated`.
        extra: tensors that belong to the preprocessing: of feature maps, and of tiles; of the model's dtype.
    """

    model: nn.Module
    references: dict[str, Tensor]
    count: int
    alpha: float = 0.12
    preprocessing: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    balance: Balance | None = None
    part: str = PAPERS
    calibration: Calibration | None = None
    extra: dict[str, Tensor] = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file: weights and references, and all else as JSON in its header.

        A model of `gradcon_ext.models`, as it was built, is rebuilt from the file. For any other, and for one whose
        layers were changed, the file holds the weights only, and `load` needs a model. A model that the fused engine
        runs is there as a chain of layers too, if the preprocessing or the architecture tells the channels and size of
        its images. A chain that no known architecture vouches for is compared with automatic differentiation first.
        The file of a chain also holds golden scores, and of one that scores tiles those of whole images too; see
        `gradcon_ext.detector.golden`.
        """
        architecture = self._architecture()
        chain = self._chain(self._image_shape(), trusted=architecture is not None)
        golden = {} if chain is None else golden_of(self, chain)
        facts = {
            "architecture": architecture,
            "layers": list(self.references),
            "count": self.count,
            "alpha": self.alpha,
            "preprocessing": self.preprocessing,
            "training": self.training,
            "chain": None if chain is None else chain.to_json(),
            "balance": None if self.balance is None else self.balance.facts,
            "part": self.part,
            "calibration": None if self.calibration is None else self.calibration.facts(),
            "golden": {name: list(each.columns) for name, each in golden.items()} or None,
            "versions": {"gradcon_ext": __version__, "torch": torch.__version__},
        }
        tensors = {
            **_tensors_of(self.model, self.references),
            **_tensors_of_balance(self.balance),
            **_tensors_of_calibration(self.calibration),
            **_tensors_of_golden(golden),
        }
        tensors |= with_prefix(EXTRA, self.extra)
        write_tensors(path, KIND, FORMAT_VERSION, tensors, facts)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: nn.Module | None = None) -> Detector:
        """Read a file that `save` wrote; the model is in evaluation mode.

        Args:
            path: the file, or the folder of its run.
            model: takes the weights and the dtype of the file, instead of a model built from the architecture in the
                file; needed for a custom one.

        Raises:
            FileNotFoundError: there is no such file or folder, or no detector in it.
            ValueError: as `read_detector` raises; the file names no architecture and no model was given; or its
                tensors or its layers are not those of the model.
        """
        file = read_detector(path)
        tensors = {name: tensor_of(stored) for name, stored in file.tensors.items()}
        facts = file.facts
        try:
            balance = balance_of(file, tensors)
            fitting = _rebuilt(file.architecture) if model is None else _fitted(model, tensors, file, balance)
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{file.path}: {error}") from error
        fitting.load_state_dict(without_prefix(MODEL, tensors), assign=model is None)
        return cls(
            fitting.eval(),
            {name: tensors[REFERENCE + name] for name in facts["layers"]},
            facts["count"],
            facts["alpha"],
            facts["preprocessing"],
            facts["training"],
            balance,
            facts["part"],
            file.calibration,
            without_prefix(EXTRA, tensors),
        )

    def _architecture(self) -> dict[str, Any] | None:
        """The model's architecture, if that is all there is to the model."""
        given = getattr(self.model, "architecture", None) or {}
        try:
            known = Architecture.read(given)
        except ValueError:
            return None
        expected = chain_of_architecture(known, list(self.references))
        as_built = type(self.model) is models.of_name(known.name) and not any(
            "forward" in vars(module) for module in self.model.modules()
        )
        same = as_built and self._chain((known.channels, *known.size), trusted=True) == expected
        return dict(given) if same else None

    def _chain(self, image_shape: tuple[int, ...] | None, trusted: bool) -> Chain | None:
        """The model as a chain of layers, if it is one and the shape of its images is known."""
        if image_shape is None:
            return None
        if not trusted:
            return proven_chain(self.model, self.references, image_shape)
        try:
            return trace_chain(self.model, list(self.references), loss_of(self.model), image_shape)
        except NotAChain:
            return None

    def _image_shape(self) -> tuple[int, ...] | None:
        known = {**(getattr(self.model, "architecture", None) or {}), **self.preprocessing}
        try:
            return (known["channels"], *height_width(known["size"]))
        except (KeyError, ValueError):
            return None


def read_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a detector's file says beside its tensors; a custom model is not needed.

    Raises:
        FileNotFoundError: there is no such file or folder, or no detector in it.
        ValueError: as `gradcon_ext.detector.facts.read_detector` raises.
    """
    return read_detector(path).facts


def _rebuilt(architecture: Architecture | None) -> nn.Module:
    """Build a model whose tensors have no memory, for they are to be replaced."""
    if architecture is None:
        raise ValueError("it holds no architecture; from Python, Scorer.load(path, model=...) takes a custom model")
    with torch.device("meta"):
        return models.build(architecture.entry)


def _fitted(model: nn.Module, tensors: Mapping[str, Tensor], file: DetectorFile, balance: Balance | None) -> nn.Module:
    """A model that the tensors of a file fit, of the file's floating-point dtype."""
    dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    dtype = next(iter(dtypes)) if len(dtypes) == 1 else None
    references = {name: model.get_parameter(name) for name in file.facts["layers"]}
    expected = {**_tensors_of(model, references), **_tensors_of_balance(balance)}
    expected |= {name: tensor for name, tensor in tensors.items() if name.startswith(EXTRA)}
    check_descriptions(_descriptions(tensors), _descriptions(expected, dtype))
    _check_chain(model, file)
    return model if dtype is None else model.to(dtype)


def _check_chain(model: nn.Module, file: DetectorFile) -> None:
    """Raise ValueError if a model that is a chain of layers is another than the one that was saved."""
    if file.chain is None:
        return
    try:
        given = trace_chain(model, file.facts["layers"], loss_of(model), file.chain.image_shape)
    except NotAChain:
        return
    if given != file.chain:
        raise ValueError("the model's layers are not those of the model that was saved")


def _tensors_of(model: nn.Module, references: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {**with_prefix(MODEL, model.state_dict()), **with_prefix(REFERENCE, references)}


def _tensors_of_balance(balance: Balance | None) -> dict[str, Tensor]:
    if balance is None:
        return {}
    spaces = balance.direction, balance.code
    return dict(zip(BALANCE, (array for space in spaces for array in (space.mean, space.directions)), strict=True))


def _tensors_of_calibration(calibration: Calibration | None) -> dict[str, Tensor]:
    if calibration is None:
        return {}
    return {TENSOR: torch.from_numpy(np.stack(list(calibration.scores.values())))}


def _tensors_of_golden(golden: Mapping[str, Golden]) -> dict[str, Tensor]:
    pairs = ((TENSORS[kind], (each.images, each.scores)) for kind, each in golden.items())
    return {name: tensor for pair in pairs for name, tensor in zip(*pair, strict=True)}


def _descriptions(tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> dict[str, str]:
    """Dtype and shape of tensors, as if those of floating point had a dtype."""
    return {
        name: f"{dtype if dtype and tensor.is_floating_point() else tensor.dtype} {tuple(tensor.shape)}"
        for name, tensor in tensors.items()
    }
