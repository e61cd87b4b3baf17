"""Records of the baselines, several at a time in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.synchronize import RLock
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines import BASELINES
from gradcon_ext.reproduce.baselines.baseline import AnomalyScores
from gradcon_ext.reproduce.baselines.checkpoint import RunBar
from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.measuring import Metrics, area, most_of, over_shares_of
from gradcon_ext.reproduce.records import Record, Records
from gradcon_ext.reproduce.splits import FIVE_FOLD, five_fold, image_shape, one_class, shrunk, training_images


def record_baselines(
    experiments: Sequence[Experiment],
    records: Records,
    *,
    epochs: int,
    runs: Path,
    data_root: Path | None,
    progress: bool,
) -> None:
    """Run the baselines that have no record yet; those that are trained in epochs, of that many.

    Args:
        experiments: whose models are names of `BASELINES`.
        records: where theirs are kept.
        epochs: passes over the training images.
        runs: folder of what unfinished trainings go on from; a baseline's is removed once it has a record.
        data_root: folder of the data sets.
        progress: whether to show a bar of all baselines, and one of the epochs of each that is being trained.

    Raises:
        RuntimeError: a baseline failed; the others have finished.
    """
    missing = [each for each in experiments if records.get(each.name, _epochs(each, epochs)) is None]
    if not missing:
        return
    spawn = multiprocessing.get_context("spawn")  # torch and OpenMP have threads that a fork would not take along
    lock = spawn.RLock()
    RunBar.set_lock(lock)
    errors: dict[str, Exception] = {}
    with (
        ProcessPoolExecutor(len(os.sched_getaffinity(0)), spawn, _begin_worker, (lock,)) as pool,
        RunBar(total=len(missing), desc="baselines", unit=" runs", disable=not progress) as bar,
    ):
        futures = {
            pool.submit(run_baseline, each, _epochs(each, epochs), data_root, runs / each.name, progress): each.name
            for each in missing
        }
        try:
            for future in as_completed(futures):
                try:
                    records.put(futures[future], future.result())
                    shutil.rmtree(runs / futures[future], ignore_errors=True)
                except Exception as error:
                    errors[futures[future]] = error
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if errors:
        raise RuntimeError("; ".join(f"{name}: {type(error).__name__}: {error}" for name, error in errors.items()))


def _begin_worker(lock: RLock) -> None:
    """Leave the other cores to the other processes, and share the terminal with them."""
    RunBar.set_lock(lock)
    torch.set_num_threads(1)
    threadpool_limits(1)  # of numpy and scikit-learn


def run_baseline(
    experiment: Experiment,
    epochs: int,
    data_root: Path | None,
    folder: Path | None = None,
    progress: bool = False,
) -> Record:
    """Train a baseline, and measure it as `measure_on` does the models of the paper; see `Baseline.score`.

    Its seconds are those of this call, without what an interrupted one did before.
    """
    baseline = BASELINES[experiment.model]
    train, validation = training_images(experiment.dataset, experiment.inlier, experiment.seed, data_root)

    def score(test: ImageArray) -> AnomalyScores:
        return baseline.score(train, validation, test, experiment.seed, max(epochs, 1), folder, progress)

    begin = perf_counter()
    metrics = _measured(score, experiment, data_root)
    return Record(epochs, 0, metrics, seconds=perf_counter() - begin)


def _measured(score: Callable[[ImageArray], AnomalyScores], experiment: Experiment, data_root: Path | None) -> Metrics:
    """Score all images at once, since a baseline is trained for each call; of folds those for the threshold too."""
    if experiment.dataset in FIVE_FOLD:
        _, size = image_shape(experiment.dataset)
        folds = five_fold(experiment.dataset, experiment.inlier, experiment.seed, data_root)
        validation, test = (most_of(mixture, folds, size) for mixture in (folds.validation, folds.test))
        known, scores = np.split(score(np.concatenate([validation, test])), [len(validation)])
        return over_shares_of(known, scores, folds)
    split = one_class(experiment.dataset, experiment.inlier, experiment.seed, data_root)
    return {"score": area(score(shrunk(experiment.dataset, split.test)), split.test_is_outlier)}


def _epochs(experiment: Experiment, epochs: int) -> int:
    return epochs if BASELINES[experiment.model].trained else 0
