"""Records of experiments: those that are there, and those that are made by training and scoring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from gradcon_ext.detector.averaging import average_detectors
from gradcon_ext.detector.detector import Detector, read_facts
from gradcon_ext.detector.place import CHECKPOINT, DETECTOR
from gradcon_ext.reproduce.experiments import RECIPES, Experiment
from gradcon_ext.reproduce.measuring import measure_on
from gradcon_ext.reproduce.records import Record, Records
from gradcon_ext.reproduce.splits import training_images
from gradcon_ext.reproduce.variants import (
    AVERAGED,
    PUBLISHED,
    RENEWED,
    published_checkpoint,
    published_epochs,
    with_renewed_references,
)
from gradcon_ext.scoring.balancing import balanced
from gradcon_ext.training.checkpoint import reached_epochs
from gradcon_ext.training.many import Run, train_many
from gradcon_ext.training.run_folder import last_attempt, snapshots


def train_missing(
    experiments: Sequence[Experiment],
    *,
    epochs: int,
    runs: Path,
    data_root: Path | None,
    device: str,
    progress: bool,
    finished: Callable[[Experiment], None],
    cluster: Literal["ray"] | None = None,
) -> None:
    """Train the experiments that have no detector of that many epochs yet, many at once; go on with unfinished runs.

    Args:
        experiments: to train.
        epochs: passes over the training images.
        runs: folder of all runs.
        data_root: folder of the data sets.
        device: to train on.
        progress: whether to show a bar for all runs together.
        finished: called in this process with each experiment as soon as its detector is there.
        cluster: see `train_many`.

    Raises:
        RunsFailed: a run failed; the others have finished.
    """

    def save(run: Run, detector: Detector) -> None:
        experiment = by_name[run.name]
        if RECIPES[experiment.model].balanced:
            images = training_images(experiment.dataset, experiment.inlier, experiment.seed, data_root)
            detector = balanced(detector, *images)
        detector.save(runs / run.name / DETECTOR)
        finished(experiment)

    data_root = data_root and data_root.absolute()  # also for workers in another folder
    missing = [each for each in experiments if trained_epochs(each, runs) < each.epochs(epochs)]
    by_name = {experiment.name: experiment for experiment in missing}
    if missing:
        # A run that was interrupted later than that ends where it is.
        all_runs = [each.run(max(each.epochs(epochs), begun_epochs(each, runs)), runs, data_root) for each in missing]
        train_many(all_runs, device=device, resume=True, progress=progress, finished=save, cluster=cluster)


def trained_epochs(experiment: Experiment, runs: Path) -> int:
    """How many epochs the finished run of an experiment had; 0 if there is none."""
    path = runs / experiment.name / DETECTOR
    return int(read_facts(path)["training"]["epochs"]) if path.exists() else 0


def begun_epochs(experiment: Experiment, runs: Path) -> int:
    """How many epochs of an experiment's run, finished or not, are in its checkpoint; 0 if there is none."""
    path = runs / experiment.name / CHECKPOINT
    return reached_epochs(path) if path.exists() else 0


def record_missing(
    experiments: Sequence[Experiment],
    records: Records,
    *,
    epochs: int,
    runs: Path,
    data_root: Path | None,
    progress: bool,
) -> None:
    """Measure the trained experiments that have no record of that many epochs yet; the other arguments as above."""
    missing = [each for each in experiments if records.get(each.name, each.epochs(epochs)) is None]
    for experiment in tqdm(missing, desc="scoring", unit=" runs", disable=not progress):
        records.put(experiment.name, _record(experiment, runs / experiment.name, data_root))


def _record(experiment: Experiment, folder: Path, data_root: Path | None) -> Record:
    metrics = measure_on(experiment.dataset, experiment.inlier, experiment.seed, data_root)
    best = Detector.load(folder / DETECTOR)
    epochs, best_epoch, seconds = (best.training[fact] for fact in ("epochs", "best_epoch", "seconds"))
    if RECIPES[experiment.model].balanced:  # What else is measured of a run has no balance.
        return Record(epochs, best_epoch, metrics(best), seconds=seconds)
    # Beyond the detector's epochs are those of a longer training that was interrupted.
    kept = {epoch: Detector.load(path) for epoch, path in snapshots(folder).items() if epoch <= epochs}
    checkpoint = {best_epoch: best, **kept}.get(published_checkpoint(last_attempt(folder), epochs))
    spread = {epoch: kept[epoch] for epoch in kept if _is_spread(experiment, epoch, epochs)}
    train, _ = training_images(experiment.dataset, experiment.inlier, experiment.seed, data_root)
    return Record(
        epochs=epochs,
        best_epoch=best_epoch,
        metrics=metrics(best),
        by_epoch={epoch: metrics(detector) for epoch, detector in spread.items()},
        variants={
            AVERAGED: metrics(
                average_detectors([detector for epoch, detector in spread.items() if 2 * epoch > epochs])
            ),
            RENEWED: metrics(with_renewed_references(best, train)),
            **({} if checkpoint is None else {PUBLISHED: metrics(checkpoint)}),
        },
        seconds=seconds,
    )


def _is_spread(experiment: Experiment, epoch: int, epochs: int) -> bool:
    """Whether the detector of an epoch was not kept merely because the published code would keep it."""
    own = RECIPES[experiment.model].snapshots(epochs)
    return epoch == epochs or epoch in own or epoch not in published_epochs(epochs)
