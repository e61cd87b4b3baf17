"""Verification on first use: two samples are also differentiated by plain autograd, and everything must agree."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import torch
from torch import Tensor

from gradcon_ext.alignment.fallback import gradients_by_vmap
from gradcon_ext.alignment.one_pass import Pass, run_pass
from gradcon_ext.alignment.plain import LossWithAux, SampleGradient, plain_gradient, plain_gradient_in_batch
from gradcon_ext.alignment.prepared import Prepared
from gradcon_ext.alignment.private_copy import CopyError
from gradcon_ext.alignment.proofs import Proof, described_tensor, surroundings
from gradcon_ext.alignment.routes import Route
from gradcon_ext.alignment.tolerance import tolerance_of
from gradcon_ext.alignment.watch import ReadsOfMemory, Watch, memory_of, same_numbers
from gradcon_ext.chain.draws import Draws


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
    trial = _Trial(prepared, loss, inputs, targets)
    result, proof = trial.run()
    if trial.could_have_failed(result):
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


class _Trial:
    """The verification of a batch."""

    def __init__(self, prepared: Prepared, loss: LossWithAux, inputs: Tensor, targets: Tensor) -> None:
        self._prepared, self._loss, self._inputs, self._targets = prepared, loss, inputs, targets
        self._rows = (0, _furthest(inputs))
        self._tolerance = tolerance_of(prepared.weights.values(), inputs)
        self._plain: dict[int, SampleGradient] = {}
        self._looks_further = False
        self._alone = True

    def run(self) -> tuple[Pass, Proof]:
        """Return the pass over the whole batch, and what was found out."""
        proof = self._watched()
        self._prepared = self._prepared.as_proven(proof)
        if proof.as_it_is is not None:
            self._prepared.check_gradients(proof.as_it_is)
        for row in self._rows:
            self._plain[row] = self._plain_of(row)
        first, second = self._rows
        if proof.as_it_is is None and self._alone:
            # In another order and another number, so that neither can be mistaken for the sample.
            order = [second, first, second] if len(self._inputs) == 2 else [second, first]
            proof = self._captured(order, proof)
        result = run_pass(self._prepared, self._loss, self._inputs, self._targets, proof)
        self._check_losses(result, {row: row for row in self._rows})
        self._check_halves(result.losses, proof)
        proof = self._agreed(result, {row: row for row in self._rows}, proof)
        routes = {
            name: replace(route, reason=f"fallback: {proof.obstacles[name]}", gradients=None, reached=True)
            if name in proof.obstacles
            else route
            for name, route in result.routes.items()
        }
        return replace(result, routes=routes), self._with_fallback(routes, proof)

    def could_have_failed(self, result: Pass) -> bool:
        """Whether the two samples are apart, and every gradient is there to be wrong."""
        if self._looks_further:
            return False
        one, other = (self._plain[row].gradients for row in self._rows)
        reached = [name for name, route in result.routes.items() if route.reached]
        if not all(one[name].any() or other[name].any() for name in reached):
            return False
        apart = 10 * self._tolerance.gradient
        differ = any((one[name] - other[name]).norm() > apart * one[name].norm() for name in reached)
        return len(self._inputs) == 1 or not reached or differ

    def _watched(self) -> Proof:
        """Run a sample and look what the model does."""
        try:
            self._prepared.frozen()
        except CopyError as reason:
            return Proof(as_it_is=str(reason))
        parameters = dict(self._prepared.model.named_parameters())
        hooked = [name for name in self._prepared.weights if parameters[name]._backward_hooks]
        if hooked:
            return Proof(as_it_is=f"{hooked[0]} has hooks, which may do something else for every gradient")
        draws, watch = Draws(self._prepared.proofs.generators), self._watch()
        if watch.changes is not None:
            changes = watch.changes
            self._prepared = replace(self._prepared, numbers=True)
            watch = self._watch()
            watch.changes = changes
        if self._alone and len(self._inputs) > 1:
            watch.merge(self._watched_loss(slice(0, 2), last=False)[0])  # which may do what one sample does not
        random = watch.random or draws.whose()
        if random is not None:
            raise ValueError(
                f"the model or its loss draws random numbers ({random}), so a sample's gradient is not defined by the "
                "sample; draw only where self.training is set, and call model.eval() first"
            )
        self._looks_further = watch.reads_values or watch.may_mix
        if watch.behind and watch.changes:
            raise ValueError(
                f"the forward changes {watch.changes} in place, and uses {watch.behind} through a reference that a "
                "private copy does not have; compute it from the layer that is called instead"
            )
        behind = watch.behind and f"the model uses {watch.behind} behind the back of a private copy"
        return Proof(as_it_is=behind, changes=watch.changes)

    def _watch(self) -> Watch:
        """Watch the loss of one sample, or of all where one alone has none."""
        watch, losses = self._watched_loss(slice(1), last=len(self._inputs) == 1)
        if watch.changes is None and (losses is None or losses.shape != (1,)):
            self._alone = False
            watch, _ = self._watched_loss(slice(None), last=True)
        return watch

    def _watched_loss(self, samples: slice, last: bool) -> tuple[Watch, Tensor | None]:
        # Memory of its own: no operation tells when numpy or another library writes into a parameter.
        copied = replace(self._prepared, numbers=True).frozen()
        models = (copied.module, self._prepared.model)
        modes, before = ([module.training for module in model.modules()] for model in models)
        originals = dict(self._prepared.model.named_parameters())
        shared = {} if self._prepared.numbers else copied.parameters
        guarded = [*shared.items(), *originals.items()] if shared else []
        memory = {name: memory_of(tensor) for name, tensor in shared.items()}
        # The model's input is not the caller's, so that nothing is lost where it is changed.
        inputs, targets = self._inputs[samples].clone(), self._targets[samples]
        watch = Watch(self._prepared.model, guarded, inputs, modes != before)
        try:
            with watch, ReadsOfMemory(watch):
                losses = self._loss(copied.module(inputs), targets)[0]
        except Exception:  # Some models, and some losses, take no single sample.
            if watch.changes is None and (last or watch.refused):
                raise
            return watch, None
        changed = (
            name
            for name, tensor in shared.items()
            if memory_of(tensor) != memory[name] or not same_numbers(tensor, originals[name])
        )
        watch.changes = next(changed, watch.changes)
        return watch, losses

    def _plain_of(self, row: int) -> SampleGradient:
        if not self._alone:
            return plain_gradient_in_batch(
                self._prepared.trainable(), self._loss, list(self._prepared.weights), self._inputs, self._targets, row
            )
        part = slice(row, row + 1)
        return plain_gradient(
            self._prepared.trainable(),
            self._loss,
            list(self._prepared.weights),
            self._inputs[part],
            self._targets[part],
        )

    def _captured(self, rows: list[int], proof: Proof) -> Proof:
        """The proof with what a pass over some samples tells, or why no pass can look at the layers."""
        try:
            part = self._part(rows, proof)
        except ValueError:
            raise
        except Exception as error:  # As of `checkpoint`, which notices that a layer's output is another tensor.
            reason = f"a pass that looks at its layers ends with a {type(error).__name__}"
            self._prepared.check_gradients(reason)
            return replace(proof, as_it_is=reason)
        return self._agreed(part, dict(enumerate(rows)), proof)

    def _part(self, rows: list[int], proof: Proof) -> Pass:
        result = run_pass(self._prepared, self._loss, self._inputs[rows], self._targets[rows], proof)
        self._check_losses(result, dict(enumerate(rows)))
        return result

    def _check_losses(self, result: Pass, samples: dict[int, int]) -> None:
        alone = torch.stack([self._plain[sample].loss for sample in samples.values()])
        self._check_equal(result.losses[list(samples)], alone, "alone", len(result.losses))

    def _check_halves(self, losses: Tensor, proof: Proof) -> None:
        """Check that no sample's loss changes where only every other one is beside it."""
        if len(losses) < 3:
            return
        for half in (slice(0, None, 2), slice(1, None, 2)):
            copied = self._prepared.frozen() if proof.as_it_is is None else self._prepared.trainable()
            try:
                others = self._loss(copied.module(self._inputs[half].clone()), self._targets[half])[0]
            except Exception:  # Some models take no other number of samples.
                return
            self._check_equal(losses[half], others.detach(), "beside every other one", len(losses))

    def _check_equal(self, together: Tensor, apart: Tensor, how: str, samples: int) -> None:
        scale = together.abs().mean()
        allowed = self._tolerance.loss * torch.maximum(apart.abs(), scale) + self._tolerance.rounding / 10
        differs = ~((together - apart).abs() <= allowed) & ~(together.isnan() & apart.isnan())
        if differs.any():
            row = int(differs.nonzero()[0])
            raise ValueError(
                f"the loss of a sample is {float(apart[row]):.6g} {how} and {float(together[row]):.6g} in a batch of "
                f"{samples}: samples influence each other, as in batch_norm(training=True), or by chance, or the "
                "forward looks at requires_grad; samples must be independent in eval mode"
            )

    def _agreed(self, result: Pass, samples: dict[int, int], proof: Proof) -> Proof:
        """The proof with the parameters whose own routes do not lead to the gradients of plain autograd."""
        obstacles = dict(proof.obstacles)
        for parameter in result.parameters:
            name, route = parameter.name, result.routes[parameter.name]
            if route.reached and route.gradients is None:
                if "first dimension" in route.reason:
                    obstacles[name] = route.reason.removeprefix("fallback: ")
                continue
            for row, sample in samples.items():
                plain = self._plain[sample].gradients[name]
                formed = torch.zeros_like(plain) if route.gradients is None else route.gradients.of_sample(row)
                apart = self._apart(formed, plain, _scale(result, name, row))
                if apart is not None:
                    obstacles[name] = f"its own route is {apart} from plain autograd"
        return replace(proof, obstacles=obstacles)

    def _apart(self, formed: Tensor, plain: Tensor, scale: float) -> str | None:
        """How far a gradient is from what it should be, where that is more than rounding."""
        norm, apart = float(plain.norm()), float((formed - plain).norm())
        if apart <= self._tolerance.gradient * norm + self._tolerance.rounding * scale:
            return None
        return f"{apart:.2g} (of a norm of {norm:.2g})"

    def _with_fallback(self, routes: dict[str, Route], proof: Proof) -> Proof:
        """The proof with what keeps the fallback from using vmap.

        Raises:
            ValueError: the fallback is needed, but a sample alone has no loss.
        """
        left = _left(routes)
        if left and not self._alone:
            raise ValueError(
                f"the model and its loss cannot compute one sample alone, which the gradient of {', '.join(left)} "
                f"needs ({routes[left[0]].reason})"
            )
        if proof.as_it_is is not None:
            return replace(proof, one_by_one=proof.as_it_is)
        if not left:
            return proof
        rows = list(self._rows)
        try:
            gradients = gradients_by_vmap(self._prepared, self._loss, left, self._inputs[rows], self._targets[rows])
        except Exception as error:  # A model may do anything that vmap does not know.
            return replace(proof, one_by_one=str(error) or type(error).__name__)
        for index, row in enumerate(rows):
            for name in left:
                plain = self._plain[row].gradients
                largest = max(float(gradient.norm()) for gradient in plain.values())
                apart = self._apart(gradients[name][index], plain[name], largest)
                if apart is not None:
                    return replace(proof, one_by_one=f"its gradient of {name} is {apart} from plain autograd")
        return proof


def _left(routes: dict[str, Route]) -> list[str]:
    return [name for name, route in routes.items() if route.gradients is None and route.reached]


def _scale(result: Pass, name: str, row: int) -> float:
    """Norm of what is summed to a sample's gradient, to which the rounding of a small sum is relative."""
    (parameter,) = (one for one in result.parameters if one.name == name)
    total = 0.0
    for module in {module for module, _ in parameter.owners}:
        for call in result.capture.calls.get(module, []):
            if call.grad_output is not None:
                size = float(call.input[row].norm()) + call.grad_output[row].numel() ** 0.5
                total += size * float(call.grad_output[row].norm())
    return total


def _furthest(inputs: Tensor) -> int:
    """The sample that differs most from the first."""
    with torch.no_grad():
        flat = inputs.flatten(1) if inputs.dim() > 1 else inputs[:, None]
        if flat.shape[1] == 0:
            return len(inputs) - 1
        distances = (flat - flat[:1]).abs() if flat.is_floating_point() else flat.ne(flat[:1])
        return int(distances.float().nan_to_num().mean(1).argmax()) if flat.shape[1] else 0
