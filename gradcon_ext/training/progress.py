"""How far a training run has come, and its bar."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import NamedTuple, NoReturn

from tqdm import tqdm

from gradcon_ext.detector.detector import Detector


class Progress(NamedTuple):
    """After a batch of a training run.

    Attributes:
        images: taken for training so far, in all epochs of the attempt; less than before after a dead start.
        total: to take in all epochs.
        epoch: under way, from 1.
        loss: of a recent batch; None where none is known.
        cosine: mean alignment of that batch.
    """

    images: int
    total: int
    epoch: int
    loss: float | None = None
    cosine: float | None = None


def run_with_bar(steps: Generator[Progress | Detector, None, None], epochs: int, shown: bool) -> Detector:
    """Take all steps of a training run, and return its detector.

    Args:
        steps: how far the run is, first before any step, and at last its detector; see `Trainer.steps`.
        epochs: of the run.
        shown: whether to show the bar.
    """
    with closing(steps):  # so that an interruption of the bar ends the run at once
        start = next(steps)
        assert isinstance(start, Progress)
        with tqdm(total=start.total, initial=start.images, unit=" images", unit_scale=True, disable=not shown) as bar:
            for progress in steps:
                if not isinstance(progress, Progress):
                    return progress
                _show(bar, progress, epochs)
    raise AssertionError("a run ends with its detector")


def _show(bar: tqdm[NoReturn], progress: Progress, epochs: int) -> None:
    bar.set_description(f"epoch {progress.epoch}/{epochs}", refresh=False)
    if progress.loss is not None:
        bar.set_postfix(loss=f"{progress.loss:.4f}", cosine=f"{progress.cosine:.3f}", refresh=False)
    if progress.images < bar.n:
        bar.reset()
    bar.update(progress.images - bar.n)
