"""What is measured on the CPU, group by group; the contenders of a group run in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from benchmarks import competitors, scorers, steps
from benchmarks.report.effort import Effort
from benchmarks.timing import Contender, Measurement, interleaved
from benchmarks.workload import Workload, autoencoder

LOOP = "published loop"
HOOKS = "hooks + unfold + bmm"
VMAP = "torch.func.vmap(grad)"
FORWARD_BACKWARD = "torch's forward and backward pass"
FORWARD_BACKWARD_TO_ALL = "torch's forward and backward pass to all parameters"
FORWARD = "torch's forward pass alone"

SCORED = 512
IN_THE_LOOP = 64  # One image takes as long as the next.
TRAINED = 64


def scores(effort: Effort) -> list[Measurement]:
    """Complete scores of 512 images, and torch's passes over them."""
    layouts = Layouts(samples=SCORED)
    workload = layouts.contiguous
    contenders = [
        *_ours(workload, scorers.FUSED, (SCORED,)),
        *_ours(workload, scorers.ANY_MODEL, (64, 128, 512)),
        *theirs_in(layouts, FORWARD, (32, 64, 128, 256, 512)),
        *theirs_in(layouts, FORWARD_BACKWARD, (32, 64, 128, 512)),
        *theirs_in(layouts, VMAP, (32, 64, 128)),
        *(theirs(workload, HOOKS, batch) for batch in (16, 32, 64)),
        published_loop(workload, IN_THE_LOOP),
    ]
    return interleaved(contenders, effort.rounds, effort.seconds)


def one_image(effort: Effort) -> list[Measurement]:
    """The score of an image alone."""
    layouts = Layouts(samples=1)
    workload = layouts.contiguous
    contenders = [
        *_ours(workload, scorers.FUSED, (1,)),
        *_ours(workload, scorers.ANY_MODEL, (1,)),
        *(
            Contender(
                FORWARD_BACKWARD_TO_ALL,
                1,
                1,
                partial(competitors.forward_backward_to_all, some.model, some.images),
                layout,
            )
            for layout, some in layouts
        ),
        *theirs_in(layouts, FORWARD_BACKWARD, (1,)),
        *theirs_in(layouts, FORWARD, (1,)),
        published_loop(workload, 1),
    ]
    return interleaved(contenders, effort.short_rounds, effort.seconds / 9)


def training_steps(effort: Effort) -> list[Measurement]:
    """Training steps, Adam included."""
    workload = autoencoder(samples=TRAINED)
    contenders = [
        Contender(name, TRAINED, TRAINED, step) for name, step in steps.steps(workload, workload.images).items()
    ]
    return interleaved(contenders, effort.short_rounds, effort.seconds / 4)


TRAINING_SIZES = {28: 64, 64: 64, 128: 64, 256: 16}
"""How many images there are in a step, by their size."""


def training_steps_of_sizes(effort: Effort) -> dict[int, list[Measurement]]:
    """Our step, and one without constraint in both of torch's layouts."""
    return {size: _training_steps_of(size, samples, effort) for size, samples in TRAINING_SIZES.items()}


def _training_steps_of(size: int, samples: int, effort: Effort) -> list[Measurement]:
    layouts = Layouts(size, samples=samples)
    fused = steps.our_step(layouts.contiguous, layouts.contiguous.images)
    contenders = [Contender(steps.FUSED, samples, samples, fused)]
    contenders += [
        Contender(steps.PLAIN, samples, samples, steps.step_without_constraint(workload), layout)
        for layout, workload in layouts
    ]
    return interleaved(contenders, effort.rounds, effort.seconds / 8)


def ours(workload: Workload, name: str, batch: int) -> Contender:
    """Score with this package, by the path of that name."""
    scorer = (scorers.fused_scorer if name == scorers.FUSED else scorers.any_model_scorer)(workload)
    return Contender(name, batch, len(workload.images), partial(scorer.score, workload.images, batch_size=batch))


class Layouts:
    """The same workload with weights and images contiguous, and with channels last."""

    def __init__(self, size: int = 28, width: int = 32, samples: int = 512) -> None:
        self.contiguous = autoencoder(3, size, width, samples)
        self._channels_last = autoencoder(3, size, width, samples, torch.channels_last)

    def __iter__(self) -> Iterator[tuple[str, Workload]]:
        return iter((("", self.contiguous), ("channels last", self._channels_last)))


def theirs_in(layouts: Layouts, name: str, batches: Sequence[int], samples: int | None = None) -> list[Contender]:
    """Let a competitor choose between both layouts and several batches, with all images or some."""
    return [
        theirs(Workload(some.model, some.references, some.images[:samples]), name, batch, layout)
        for layout, some in layouts
        for batch in batches
    ]


def theirs(workload: Workload, name: str, batch: int, layout: str = "") -> Contender:
    """Do what the competitor of that name does with all images."""
    model, references, images = workload.model, workload.references, workload.images
    runs = {
        FORWARD: partial(competitors.forward, model, images, batch),
        FORWARD_BACKWARD: partial(competitors.forward_backward, model, references, images, batch),
        VMAP: partial(competitors.vmap_grad, model, references, images, batch),
        HOOKS: partial(competitors.hooks_unfold_bmm, model, references, images, batch),
    }
    return Contender(name, batch, len(images), runs[name], layout)


def published_loop(workload: Workload, samples: int) -> Contender:
    some = workload.images[:samples]
    return Contender(LOOP, 1, samples, partial(competitors.image_at_a_time, workload.model, workload.references, some))


def _ours(workload: Workload, name: str, batches: tuple[int, ...]) -> list[Contender]:
    return [ours(workload, name, batch) for batch in batches]
