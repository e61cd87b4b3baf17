"""The tables and figures by name: what they need, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from gradcon_ext.data import class_index
from gradcon_ext.data.folds import FOLDS
from gradcon_ext.reproduce import figure3, figure4, figure5, length, study
from gradcon_ext.reproduce.baselines import BASELINES
from gradcon_ext.reproduce.compared import record_baselines
from gradcon_ext.reproduce.experiments import Experiment
from gradcon_ext.reproduce.figure import Figure
from gradcon_ext.reproduce.records import Record, Records
from gradcon_ext.reproduce.splits import ALL_SIGNS, CURE_TSR, FIVE_FOLD, class_names, cure_tsr_path
from gradcon_ext.reproduce.table import Table
from gradcon_ext.reproduce.tables import dataset_of, models_of, table4, table_by_classes
from gradcon_ext.reproduce.training import record_missing, train_missing, trained_epochs
from gradcon_ext.storage.lock import locked

TABLES = ("table1", "table2", "table3", "table4")
FIGURES = ("fig3", "fig4", "fig5")
STUDY = "study"
LENGTH = "length"
MAIN = (*TABLES, *FIGURES, STUDY)
"""All but `LENGTH`, which is meant for far more epochs, and trains of its own what has the same recipe here."""
TARGETS = (*MAIN, LENGTH)


@dataclass(frozen=True)
class Reproduction:
    """The paper's experiments at a chosen size.

    Attributes:
        out: folder of the results, which are small; of the records of all experiments in `records`, and of the
            trained models in `runs`.
        data_root: folder of the data sets.
        epochs: passes over the training images.
        seeds: how many; of the five-fold protocol, as many folds, but not more than there are.
        classes: names or indices of the inlier classes; all by default.
        datasets: of `length`, some of those that it may be drawn of; all by default.
        device: to train on.
        progress: whether to show bars.
        cluster: "ray" trains the runs of GradCon on a Ray cluster, see `train_many`; `out` and `data_root` are then
            on what all nodes share. Baselines and scoring stay on this machine.
    """

    out: Path
    data_root: Path | None
    epochs: int
    seeds: int
    classes: Sequence[str] = ()
    datasets: Sequence[str] = ()
    device: str = "cpu"
    progress: bool = True
    cluster: Literal["ray"] | None = None

    def prepare(self, targets: Sequence[str]) -> None:
        """Train and measure all that the targets need and that is not there, in one job.

        Raises:
            FileNotFoundError: a data set is not there.
            ValueError: no such class, or a damaged file.
            RuntimeError: a run or a baseline failed, and the others have finished; or another process is at work there.
        """
        needed = list(dict.fromkeys(each for target in targets for each in self.experiments_of(target)))
        trained = [each for each in needed if each.model not in BASELINES]
        shown = [each for target in targets if target in FIGURES for each in self.experiments_of(target)]
        # A record does without its model, for instance in a fresh checkout; a figure does not.
        to_train = [each for each in trained if each in shown or self._record_of(each) is None]
        with locked(self.runs):
            self._train(to_train)
            record_baselines(
                [each for each in needed if each.model in BASELINES],
                self.records,
                epochs=self.epochs,
                runs=self.runs,
                data_root=self.data_root,
                progress=self.progress,
            )

    def build(self, target: str) -> Table | Figure:
        """Make a table or figure of what `prepare` left."""
        if target == "fig3":
            return figure3.figure3(self._chosen(figure3.DATASET)[0], self.runs, self.data_root)
        if target == "fig4":
            return figure4.figure4(self.seeds, self.runs, self.data_root)
        if target == "fig5":
            return figure5.figure5(self._chosen_of(figure5.DATASETS), self.runs, self.data_root)
        if target == STUDY:
            return study.study(self.records, self._chosen_of(study.DATASETS), self.seeds)
        if target == LENGTH:
            return length.length_figure(self.records, self._chosen_of(self._length_datasets), self.seeds)
        dataset = dataset_of(target)
        if target == "table4":
            return table4(self.records, self._chosen(dataset), self._seeds_of(dataset))
        names = class_names(dataset, self.data_root)
        return table_by_classes(target, self.records, names, self._chosen(dataset), self.seeds)

    def experiments_of(self, target: str) -> list[Experiment]:
        """List the experiments that a target needs."""
        if target == "fig3":
            inlier = self._chosen(figure3.DATASET)[0]
            return [Experiment(figure3.DATASET, model, inlier, 0) for model in figure3.MODELS.values()]
        if target == "fig4":
            cure_tsr_path(self.data_root)  # lest it be found missing after hours of training
            models = sorted({model for model, _ in figure4.CURVES.values()})
            return [Experiment(CURE_TSR, model, ALL_SIGNS, seed) for model in models for seed in range(self.seeds)]
        if target == "fig5":
            models = sorted(set(figure5.MODEL_OF_LOSS.values()))
            return [each for dataset in figure5.DATASETS for each in self._grid(dataset, models, seeds=1)]
        if target == STUDY:
            grids = [
                self._grid(way.dataset(dataset), [way.model], self.seeds)
                for dataset in study.DATASETS
                for way in study.WAYS
            ]
            return list(dict.fromkeys(each for grid in grids for each in grid))
        if target == LENGTH:
            models = list(length.MODELS.values())
            return [each for dataset in self._length_datasets for each in self._grid(dataset, models, self.seeds)]
        dataset = dataset_of(target)
        return self._grid(dataset, models_of(target), self._seeds_of(dataset))

    @property
    def runs(self) -> Path:
        """Folder of the trained models."""
        return self.out / "runs"

    @cached_property
    def records(self) -> Records:
        """Records of all experiments."""
        return Records(self.out / "records")

    def _train(self, experiments: Sequence[Experiment]) -> None:
        """Train what is missing, and record what has finished, also where some runs fail."""
        try:
            train_missing(
                experiments,
                epochs=self.epochs,
                runs=self.runs,
                data_root=self.data_root,
                device=self.device,
                progress=self.progress,
                finished=lambda each: self._record([each], progress=False),
                cluster=self.cluster,
            )
        finally:
            finished = [each for each in experiments if trained_epochs(each, self.runs) >= each.epochs(self.epochs)]
            self._record(finished, self.progress)

    def _record(self, finished: Sequence[Experiment], progress: bool) -> None:
        """Record at once what is measured by class, lest an interruption cost more than what is under way."""
        record_missing(
            [each for each in finished if each.dataset != CURE_TSR],
            self.records,
            epochs=self.epochs,
            runs=self.runs,
            data_root=self.data_root,
            progress=progress,
        )

    def _record_of(self, experiment: Experiment) -> Record | None:
        return self.records.get(experiment.name, experiment.epochs(self.epochs))

    def _grid(self, dataset: str, models: Sequence[str], seeds: int) -> list[Experiment]:
        return [
            Experiment(dataset, model, inlier, seed)
            for seed in range(seeds)
            for model in models
            for inlier in self._chosen(dataset)
        ]

    def _chosen(self, dataset: str) -> list[str]:
        names = class_names(dataset, self.data_root)
        try:
            chosen = dict.fromkeys(names[class_index(names, each)] for each in self.classes)
        except ValueError as error:
            raise ValueError(f"{dataset}: {error}") from error
        return list(chosen or names)

    def _chosen_of(self, datasets: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return {dataset: self._chosen(dataset) for dataset in datasets}

    @property
    def _length_datasets(self) -> Sequence[str]:
        unknown = [each for each in self.datasets if each not in length.DATASETS]
        if unknown:
            raise ValueError(f"{LENGTH} has no data set {unknown[0]!r}; expected some of {', '.join(length.DATASETS)}")
        return self.datasets or length.DATASETS

    def _seeds_of(self, dataset: str) -> int:
        return min(self.seeds, FOLDS) if dataset in FIVE_FOLD else self.seeds
