"""What all passes of a call have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gradcon_ext.alignment.independence import check_samples_are_independent
from gradcon_ext.alignment.private_copy import CopyError, PrivateCopy, detached, frozen_copy, trainable_copy
from gradcon_ext.alignment.proofs import Proof, Proofs, proofs_of
from gradcon_ext.chain.modes import mode_reader


@dataclass(frozen=True)
class Prepared:
    """A model, whose passes run on private copies.

    Attributes:
        model: is neither run nor changed, unless it cannot be copied.
        weights: the parameters to differentiate by, by name, without a graph.
        in_eval_mode: whether the copies are, whatever mode the model is in.
        proofs: of the model as it was when it was prepared.
        numbers: whether the copies have their own memory for parameters.
    """

    model: nn.Module
    weights: dict[str, Tensor]
    in_eval_mode: bool
    proofs: Proofs
    numbers: bool = False

    def frozen(self) -> PrivateCopy:
        """Make a copy, none of whose parameters requires a gradient.

        Raises:
            CopyError: the model cannot be copied.
            ValueError: a module of the copy mixes samples or draws random numbers.
        """
        self._check_identity()
        return self._in_mode(frozen_copy(self.model, numbers=self.numbers))

    def trainable(self) -> PrivateCopy:
        """Make a copy whose parameters require gradients; see `trainable_copy`.

        Raises:
            ValueError: a module of it mixes samples, or the model cannot be copied, nor used as it is.
        """
        try:
            self._check_identity()
            return self._in_mode(trainable_copy(self.model, numbers=self.numbers))
        except CopyError as error:
            return self._original(error)

    def _check_identity(self) -> None:
        by_identity = self.proofs.by_identity
        if by_identity is not None:
            raise CopyError(f"its code knows objects by {by_identity}, and those of a copy are others")

    def _in_mode(self, copied: PrivateCopy) -> PrivateCopy:
        if self.in_eval_mode:
            function = mode_reader(self.model) if any(module.training for module in self.model.modules()) else None
            if function is not None:
                raise ValueError(f"{function} looks at the mode of the model itself; call model.eval() first")
            copied.module.eval()
        check_samples_are_independent(copied.module)
        return copied

    def _original(self, reason: CopyError) -> PrivateCopy:
        if self.in_eval_mode and any(module.training for module in self.model.modules()):
            raise ValueError(f"{reason}, so its mode cannot be changed for a pass; call model.eval() first") from reason
        self.check_gradients(str(reason))
        check_samples_are_independent(self.model)
        return PrivateCopy(self.model, dict(self.model.named_parameters()))

    def as_proven(self, proof: Proof) -> Prepared:
        """The same, with the copies that a proof asks for."""
        return replace(self, numbers=proof.changes is not None)

    def check_gradients(self, reason: str) -> None:
        """Raise ValueError unless the model's own parameters require gradients, which `reason` makes necessary."""
        parameters = dict(self.model.named_parameters())
        for name in self.weights:
            if not parameters[name].requires_grad:
                raise ValueError(f"{reason}, and {name} requires no gradient; call requires_grad_() on it first")


def prepare(model: nn.Module, names: Sequence[str], in_eval_mode: bool = False) -> Prepared:
    """Find out once what every pass needs to know.

    Raises:
        ValueError: the model has no parameter of one of the names.
    """
    parameters = dict(model.named_parameters())
    with torch.inference_mode(False):
        weights = {name: detached(_there(model, parameters, name)) for name in names}
    return Prepared(model, weights, in_eval_mode, proofs_of(model))


def parameter_of(model: nn.Module, name: str) -> Tensor:
    """Return the parameter of that name, or raise ValueError with the names there are."""
    return _there(model, dict(model.named_parameters()), name)


def _there(model: nn.Module, parameters: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in parameters:
        raise ValueError(f"{type(model).__name__} has no parameter {name!r}; it has {list(parameters)}")
    return parameters[name]
