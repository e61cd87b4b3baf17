"""Verification on first use: two samples are also differentiated by plain autograd, and everything must agree."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gradcon_ext.alignment.compared import compared_samples
from gradcon_ext.alignment.comparison import Comparison
from gradcon_ext.alignment.fallback import gradients_by_vmap
from gradcon_ext.alignment.first_look import first_look
from gradcon_ext.alignment.one_pass import Pass, run_pass
from gradcon_ext.alignment.plain import LossWithAux
from gradcon_ext.alignment.prepared import Prepared
from gradcon_ext.alignment.proofs import Proof, described_tensor, surroundings
from gradcon_ext.alignment.routes import Route
from gradcon_ext.alignment.tolerance import tolerance_of


def proven_pass(prepared: Prepared, loss: LossWithAux, inputs: Tensor, targets: Tensor) -> tuple[Pass, Proof]:
    """Run a pass, and verify it where its structure is new, or where the verification so far could not have failed.

    Raises:
        ValueError: a sample's loss depends on other samples or on chance, with the remedy.
    """
    if len(inputs) == 0:
        return run_pass(prepared, loss, inputs, targets, Proof()), Proof()
    case = _case(prepared, inputs, targets)
    known = prepared.proofs.passes.find(case, loss)
    if known is not None:
        return run_pass(prepared, loss, inputs, targets, known), known
    seen = first_look(prepared, loss, inputs, targets)
    prepared = prepared.as_proven(seen.proof)
    if seen.proof.as_it_is is not None:
        prepared.check_gradients(seen.proof.as_it_is)
    plain = compared_samples(prepared, loss, inputs, targets, seen.alone)
    rows = (min(plain), max(plain))
    comparison = Comparison(plain, tolerance_of(prepared.weights.values(), inputs))
    result, proof = _Trial(prepared, loss, inputs, targets, rows, comparison, seen.alone).run(seen.proof)
    if not seen.looks_further and comparison.could_have_failed(result):
        prepared.proofs.passes.keep(case, loss, proof)
    return result, proof


def _case(prepared: Prepared, inputs: Tensor, targets: Tensor) -> Hashable:
    return (
        prepared.in_eval_mode,
        tuple(prepared.weights),
        *((described_tensor(one), _strides(one)) for one in (inputs, targets)),
        surroundings(inputs.device),
    )


def _strides(tensor: Tensor) -> Hashable:
    return tensor.stride() if tensor.layout == torch.strided else None


@dataclass(frozen=True)
class _Trial:
    """The verification of a batch by some of its rows, each of which may be computed alone or may not."""

    prepared: Prepared
    loss: LossWithAux
    inputs: Tensor
    targets: Tensor
    rows: tuple[int, int]
    comparison: Comparison
    alone: bool

    def run(self, proof: Proof) -> tuple[Pass, Proof]:
        """Return the pass over the whole batch, and the proof with what was found out."""
        first, second = self.rows
        if proof.as_it_is is None and self.alone:
            # In another order and another number, so that neither can be mistaken for the sample.
            order = [second, first, second] if len(self.inputs) == 2 else [second, first]
            proof = self._captured(order, proof)
        result = run_pass(self.prepared, self.loss, self.inputs, self.targets, proof)
        self.comparison.check_losses(result, {row: row for row in self.rows})
        self._check_halves(result.losses, proof)
        proof = self.comparison.agreed(result, {row: row for row in self.rows}, proof)
        routes = {
            name: replace(route, reason=f"fallback: {proof.obstacles[name]}", gradients=None, reached=True)
            if name in proof.obstacles
            else route
            for name, route in result.routes.items()
        }
        return replace(result, routes=routes), self._with_fallback(routes, proof)

    def _captured(self, rows: list[int], proof: Proof) -> Proof:
        """The proof with what a pass over some samples tells, or why no pass can look at the layers."""
        try:
            part = self._part(rows, proof)
        except ValueError:
            raise
        except Exception as error:  # As of `checkpoint`, which notices that a layer's output is another tensor.
            reason = f"a pass that looks at its layers ends with a {type(error).__name__}"
            self.prepared.check_gradients(reason)
            return replace(proof, as_it_is=reason)
        return self.comparison.agreed(part, dict(enumerate(rows)), proof)

    def _part(self, rows: list[int], proof: Proof) -> Pass:
        result = run_pass(self.prepared, self.loss, self.inputs[rows], self.targets[rows], proof)
        self.comparison.check_losses(result, dict(enumerate(rows)))
        return result

    def _check_halves(self, losses: Tensor, proof: Proof) -> None:
        """Check that no sample's loss changes where only every other one is beside it."""
        if len(losses) < 3:
            return
        for half in (slice(0, None, 2), slice(1, None, 2)):
            copied = self.prepared.frozen() if proof.as_it_is is None else self.prepared.trainable()
            try:
                others = self.loss(copied.module(self.inputs[half].clone()), self.targets[half])[0]
            except Exception:  # Some models take no other number of samples.
                return
            self.comparison.check_equal(losses[half], others.detach(), "beside every other one", len(losses))

    def _with_fallback(self, routes: dict[str, Route], proof: Proof) -> Proof:
        """The proof with what keeps the fallback from using vmap.

        Raises:
            ValueError: the fallback is needed, but a sample alone has no loss.
        """
        left = _left(routes)
        if left and not self.alone:
            raise ValueError(
                f"the model and its loss cannot compute one sample alone, which the gradient of {', '.join(left)} "
                f"needs ({routes[left[0]].reason})"
            )
        if proof.as_it_is is not None:
            return replace(proof, one_by_one=proof.as_it_is)
        if not left:
            return proof
        rows = list(self.rows)
        try:
            gradients = gradients_by_vmap(self.prepared, self.loss, left, self.inputs[rows], self.targets[rows])
        except Exception as error:  # A model may do anything that vmap does not know.
            return replace(proof, one_by_one=str(error) or type(error).__name__)
        reason = self.comparison.disagreement(gradients, rows)
        return proof if reason is None else replace(proof, one_by_one=reason)


def _left(routes: dict[str, Route]) -> list[str]:
    return [name for name, route in routes.items() if route.gradients is None and route.reached]
