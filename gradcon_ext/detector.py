"""A trained detector, and the one file that holds it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext import models
from gradcon_ext.tensorfile import check_facts, read_tensors, with_prefix, without_prefix, write_tensors
from gradcon_ext.version import __version__

_FORMAT_VERSION = 1
_MODEL = "model."
_REFERENCE = "reference."

_TYPES = {
    "architecture": dict | None,
    "layers": list,
    "count": int,
    "alpha": int | float,
    "preprocessing": dict,
    "training": dict,
}


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
    """

    model: nn.Module
    references: dict[str, Tensor]
    count: int
    alpha: float = 0.12
    preprocessing: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file: weights and references, and all else as JSON in its header.

        A model with an `architecture`, such as those of `gradcon_ext.models`, is rebuilt from the file. For any
        other the file holds the weights only, and `load` needs a model.
        """
        facts = {
            "architecture": getattr(self.model, "architecture", None),
            "layers": list(self.references),
            "count": self.count,
            "alpha": self.alpha,
            "preprocessing": self.preprocessing,
            "training": self.training,
            "versions": {"gradcon_ext": __version__, "torch": torch.__version__},
        }
        write_tensors(path, "detector", _FORMAT_VERSION, _tensors_of(self.model, self.references), facts)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: nn.Module | None = None) -> Detector:
        """Read a file that `save` wrote; the model is in evaluation mode.

        Args:
            path: the file.
            model: takes the weights, instead of a model built from the architecture in the file; needed for a
                custom one.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, truncated, not a detector or of another version; it lacks a fact, or has
                one of another type or out of range; it names no known architecture and no model was given; or its
                tensors are not those of the model.
        """
        tensors, facts = _read(path)
        try:
            fitting = _rebuilt(facts["architecture"]) if model is None else model
            references = {name: fitting.get_parameter(name) for name in facts["layers"]}
            _check_fit(tensors, _tensors_of(fitting, references))
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{path}: {error}") from error
        fitting.load_state_dict(without_prefix(_MODEL, tensors), assign=model is None)
        return cls(
            fitting.eval(),
            {name: tensors[_REFERENCE + name] for name in facts["layers"]},
            facts["count"],
            facts["alpha"],
            facts["preprocessing"],
            facts["training"],
        )


def read_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a detector's file says beside its tensors; a custom model is not needed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, truncated, not a detector or of another version; or it lacks a fact, or has
            one of another type or out of range.
    """
    return _read(path)[1]


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, facts = read_tensors(path, "detector", _FORMAT_VERSION)
    check_facts(path, facts, _TYPES)
    if not facts["layers"] or facts["count"] < 0 or not 0 <= facts["alpha"] < math.inf:
        given = f"layers = {facts['layers']}, count = {facts['count']}, alpha = {facts['alpha']}"
        raise ValueError(
            f"{path}: expected one or more layers, and a count and a finite alpha of at least 0, got {given}"
        )
    return tensors, facts


def _rebuilt(architecture: Mapping[str, Any] | None) -> nn.Module:
    """Build a model whose tensors have no memory yet: what a file says of their sizes is still to be checked."""
    try:
        with torch.device("meta"):
            return models.build(architecture or {})
    except ValueError as error:
        raise ValueError(f"{error}; from Python, Scorer.load(path, model=...) takes a custom model") from error


def _tensors_of(model: nn.Module, references: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {**with_prefix(_MODEL, model.state_dict()), **with_prefix(_REFERENCE, references)}


def _check_fit(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless all tensors of a file, and no others, are expected, with their shapes and types."""
    for name in sorted(given.keys() | expected.keys()):
        if _description(given, name) != _description(expected, name):
            raise ValueError(f"{name}: expected {_description(expected, name)}, got {_description(given, name)}")


def _description(tensors: Mapping[str, Tensor], name: str) -> str:
    tensor = tensors.get(name)
    return "no such tensor" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"
