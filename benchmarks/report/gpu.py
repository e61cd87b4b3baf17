"""What is measured on a device: images already there, scores brought back to the CPU."""

from __future__ import annotations

from benchmarks import competitors, scorers, steps
from benchmarks.report.effort import Effort
from benchmarks.report.measure import FORWARD
from benchmarks.timing import Contender, Measurement, interleaved
from benchmarks.workload import Workload, autoencoder
from gradcon_ext import Scorer

STEP = "training step of the trainer"
CLASS = 4500  # Images of one class of CIFAR-10 that are trained on; the rest validates.
BATCH = 64


def measurements(device: str, effort: Effort) -> list[Measurement]:
    """Scores, and training steps for images of the size of CIFAR-10's."""
    workload = _on(device, autoencoder(samples=16384))
    model, images = workload.model, workload.images
    scorer = Scorer(model, workload.references)
    training = _on(device, autoencoder(size=32, samples=BATCH))
    contenders = [Contender(STEP, BATCH, BATCH, steps.our_step(training, training.images))]
    for batch in (512, 4096, 16384):
        contenders.append(Contender(scorers.FUSED, batch, len(images), lambda b=batch: scorer.score(images, b)))
        contenders.append(Contender(FORWARD, batch, len(images), lambda b=batch: competitors.forward(model, images, b)))
    return interleaved(contenders, effort.rounds, effort.seconds)


def epochs_seconds(step: Measurement, epochs: int = 1000) -> float:
    """How long the steps of so many epochs take; validation is not in."""
    return epochs * -(-CLASS // BATCH) * step.seconds


def _on(device: str, workload: Workload) -> Workload:
    references = {name: reference.to(device) for name, reference in workload.references.items()}
    return Workload(workload.model.to(device), references, workload.images.to(device))
