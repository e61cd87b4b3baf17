"""What a model does when it runs, watched on a sample before anything relies on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from gradcon_ext.alignment.plain import LossWithAux
from gradcon_ext.alignment.prepared import Prepared
from gradcon_ext.alignment.private_copy import CopyError
from gradcon_ext.alignment.proofs import Proof
from gradcon_ext.alignment.watch import ReadsOfMemory, Watch, memory_of, same_numbers
from gradcon_ext.chain.draws import Draws


@dataclass(frozen=True)
class Seen:
    """What was seen.

    Attributes:
        proof: how the model may be run.
        alone: whether one sample alone has a loss.
        looks_further: whether the model may look at the samples' numbers, or at other samples, so that what was seen
            says nothing of others.
    """

    proof: Proof
    alone: bool = True
    looks_further: bool = False


def first_look(prepared: Prepared, loss: LossWithAux, inputs: Tensor, targets: Tensor) -> Seen:
    """Look what a model and its loss do with the first of some samples.

    Raises:
        ValueError: they draw random numbers, or change a parameter that a private copy does not have.
    """
    return _Look(prepared, loss, inputs, targets).seen()


class _Look:
    """The run of a sample."""

    def __init__(self, prepared: Prepared, loss: LossWithAux, inputs: Tensor, targets: Tensor) -> None:
        self._prepared, self._loss, self._inputs, self._targets = prepared, loss, inputs, targets
        self._alone = True

    def seen(self) -> Seen:
        """Run a sample, or two, and look what the model does."""
        try:
            self._prepared.frozen()
        except CopyError as reason:
            return Seen(Proof(as_it_is=str(reason)))
        parameters = dict(self._prepared.model.named_parameters())
        hooked = [name for name in self._prepared.weights if parameters[name]._backward_hooks]
        if hooked:
            return Seen(Proof(as_it_is=f"{hooked[0]} has hooks, which may do something else for every gradient"))
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
        if watch.behind and watch.changes:
            raise ValueError(
                f"the forward changes {watch.changes} in place, and uses {watch.behind} through a reference that a "
                "private copy does not have; compute it from the layer that is called instead"
            )
        behind = watch.behind and f"the model uses {watch.behind} behind the back of a private copy"
        return Seen(
            Proof(as_it_is=behind, changes=watch.changes),
            self._alone,
            looks_further=watch.reads_values or watch.may_mix,
        )

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
