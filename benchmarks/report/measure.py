"""What is measured on the CPU, group by group; the contenders of a group run in turn."""

from __future__ import annotations

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
PRODUCT = "float32 matrix product"
PRODUCT_SIZE = 2048

SCORED = 512
IN_THE_LOOP = 64  # One image takes as long as the next.
TRAINED = 64


def scores(effort: Effort) -> list[Measurement]:
    """Complete scores of 512 images, torch's passes over them, and the machine's rate of multiply-adds."""
    workload = autoencoder(samples=SCORED)
    left, right = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE), torch.randn(PRODUCT_SIZE, PRODUCT_SIZE)
    contenders = [
        *_ours(workload, scorers.FUSED, (SCORED,)),
        *_ours(workload, scorers.ANY_MODEL, (64, 128, 512)),
        *_theirs(workload, FORWARD, (32, 64, 128, 256, 512)),
        *_theirs(workload, FORWARD_BACKWARD, (32, 64, 128, 512)),
        *_theirs(workload, VMAP, (32, 64, 128)),
        *_theirs(workload, HOOKS, (16, 32, 64)),
        published_loop(workload, IN_THE_LOOP),
        Contender(PRODUCT, 1, 1, lambda: left @ right),
    ]
    return interleaved(contenders, effort.rounds, effort.seconds)


def one_image(effort: Effort) -> list[Measurement]:
    """The score of an image alone."""
    workload = autoencoder(samples=1)
    contenders = [
        *_ours(workload, scorers.FUSED, (1,)),
        *_ours(workload, scorers.ANY_MODEL, (1,)),
        Contender(
            FORWARD_BACKWARD_TO_ALL,
            1,
            1,
            partial(competitors.forward_backward_to_all, workload.model, workload.images),
        ),
        *_theirs(workload, FORWARD_BACKWARD, (1,)),
        *_theirs(workload, FORWARD, (1,)),
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


def ours(workload: Workload, name: str, batch: int) -> Contender:
    """Score with this package, by the path of that name."""
    scorer = (scorers.fused_scorer if name == scorers.FUSED else scorers.any_model_scorer)(workload)
    return Contender(name, batch, len(workload.images), partial(scorer.score, workload.images, batch_size=batch))


def theirs(workload: Workload, name: str, batch: int) -> Contender:
    """Do what the competitor of that name does with all images."""
    model, references, images = workload.model, workload.references, workload.images
    runs = {
        FORWARD: partial(competitors.forward, model, images, batch),
        FORWARD_BACKWARD: partial(competitors.forward_backward, model, references, images, batch),
        VMAP: partial(competitors.vmap_grad, model, references, images, batch),
        HOOKS: partial(competitors.hooks_unfold_bmm, model, references, images, batch),
    }
    return Contender(name, batch, len(images), runs[name])


def published_loop(workload: Workload, samples: int) -> Contender:
    some = workload.images[:samples]
    return Contender(LOOP, 1, samples, partial(competitors.image_at_a_time, workload.model, workload.references, some))


def _ours(workload: Workload, name: str, batches: tuple[int, ...]) -> list[Contender]:
    return [ours(workload, name, batch) for batch in batches]


def _theirs(workload: Workload, name: str, batches: tuple[int, ...]) -> list[Contender]:
    return [theirs(workload, name, batch) for batch in batches]
