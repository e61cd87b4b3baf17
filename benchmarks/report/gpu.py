"""What is measured on a device: images already there, scores brought back to the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks import scorers, steps
from benchmarks.report.effort import Effort
from benchmarks.report.measure import FORWARD, FORWARD_BACKWARD, HOOKS, VMAP, theirs
from benchmarks.timing import Contender, Measurement, interleaved
from benchmarks.workload import Workload, autoencoder
from gradcon_ext import Scorer

STEP = "training step of the trainer"
FORWARD_TF32 = "torch's forward pass alone, in TF32"
CLASS = 4500  # Images of one class of CIFAR-10 that are trained on; the rest validates.
BATCH = 64
IMAGES = 16384
OF_SLOW_WAYS = 1024  # One image takes as long as the next, and gradients of more do not fit everywhere.


def measurements(device: str, effort: Effort) -> list[Measurement]:
    """Scores of images of 28 pixels beside what torch does with them, and training steps of the size of CIFAR-10's."""
    layouts = {
        "": autoencoder(samples=IMAGES),
        "channels last": autoencoder(samples=IMAGES, layout=torch.channels_last),
    }
    on_device = {layout: _on(device, workload) for layout, workload in layouts.items()}
    plain = on_device[""]
    scorer = Scorer(plain.model, plain.references)
    training = _on(device, autoencoder(size=32, samples=BATCH))
    contenders = [Contender(STEP, BATCH, BATCH, steps.our_step(training, training.images))]
    for batch in (512, 4096, IMAGES):
        contenders.append(Contender(scorers.FUSED, batch, IMAGES, lambda b=batch: scorer.score(plain.images, b)))
        for layout, workload in on_device.items():
            contenders += [theirs(workload, name, batch, layout) for name in (FORWARD, FORWARD_BACKWARD)]
            contenders.append(_in_tf32(theirs(workload, FORWARD, batch, layout)))
    for layout, workload in on_device.items():
        some = Workload(workload.model, workload.references, workload.images[:OF_SLOW_WAYS])
        contenders += [theirs(some, name, batch, layout) for name in (VMAP, HOOKS) for batch in (128, OF_SLOW_WAYS)]
    with _tf32(allowed=False):
        return interleaved(contenders, effort.rounds, effort.seconds)


def epochs_seconds(step: Measurement, epochs: int = 1000) -> float:
    """How long the steps of so many epochs take; validation is not in."""
    return epochs * -(-CLASS // BATCH) * step.seconds


def _in_tf32(forward: Contender) -> Contender:
    """The same with the mantissas of products cut to ten bits, as torch does it unless told otherwise."""

    def run() -> None:
        with _tf32(allowed=True):
            forward.run()

    return Contender(FORWARD_TF32, forward.batch, forward.samples, run, forward.layout)


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _on(device: str, workload: Workload) -> Workload:
    references = {name: reference.to(device) for name, reference in workload.references.items()}
    return Workload(workload.model.to(device), references, workload.images.to(device))
