"""A trained detector, and the one file that holds it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext import models
from gradcon_ext.detector_facts import FORMAT_VERSION, KIND, MODEL, REFERENCE, chain_of, checked
from gradcon_ext.images import height_width
from gradcon_ext.losses import loss_of
from gradcon_ext.tensorfile import read_tensors, with_prefix, without_prefix, write_tensors
from gradcon_ext.tracing import trace_chain
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
        other the file holds the weights only, and `load` needs a model. A model that the fused engine runs is there as
        a chain of layers too, if the preprocessing or the architecture tells the channels and size of its images.
        """
        facts = {
            "architecture": getattr(self.model, "architecture", None),
            "layers": list(self.references),
            "count": self.count,
            "alpha": self.alpha,
            "preprocessing": self.preprocessing,
            "training": self.training,
            "chain": self._chain(),
            "versions": {"gradcon_ext": __version__, "torch": torch.__version__},
        }
        write_tensors(path, KIND, FORMAT_VERSION, _tensors_of(self.model, self.references), facts)

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
        fitting.load_state_dict(without_prefix(MODEL, tensors), assign=model is None)
        return cls(
            fitting.eval(),
            {name: tensors[REFERENCE + name] for name in facts["layers"]},
            facts["count"],
            facts["alpha"],
            facts["preprocessing"],
            facts["training"],
        )

    def _chain(self) -> dict[str, Any] | None:
        """The model as a chain of layers, if it is one and the shape of its images is known."""
        known = {**(getattr(self.model, "architecture", None) or {}), **self.preprocessing}
        try:
            image_shape = (known["channels"], *height_width(known["size"]))
            return trace_chain(self.model, list(self.references), loss_of(self.model), image_shape).to_json()
        except (KeyError, ValueError):
            return None


def read_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a detector's file says beside its tensors; a custom model is not needed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, truncated, not a detector or of another version; or it lacks a fact, or has
            one of another type or out of range.
    """
    return _read(path)[1]


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, header = read_tensors(path, KIND, FORMAT_VERSION)
    facts = checked(path, header)
    chain_of(path, facts)
    return tensors, facts


def _rebuilt(architecture: Mapping[str, Any] | None) -> nn.Module:
    """Build a model whose tensors have no memory yet: what a file says of their sizes is still to be checked."""
    try:
        with torch.device("meta"):
            return models.build(architecture or {})
    except ValueError as error:
        raise ValueError(f"{error}; from Python, Scorer.load(path, model=...) takes a custom model") from error


def _tensors_of(model: nn.Module, references: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {**with_prefix(MODEL, model.state_dict()), **with_prefix(REFERENCE, references)}


def _check_fit(given: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless all tensors of a file, and no others, are expected, with their shapes and types."""
    for name in sorted(given.keys() | expected.keys()):
        if _description(given, name) != _description(expected, name):
            raise ValueError(f"{name}: expected {_description(expected, name)}, got {_description(given, name)}")


def _description(tensors: Mapping[str, Tensor], name: str) -> str:
    tensor = tensors.get(name)
    return "no such tensor" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"
