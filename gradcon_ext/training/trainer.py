"""Training of an autoencoder under the gradient constraint."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias, get_args

import torch
from torch import Tensor, nn

from gradcon_ext._install.device import usable_device
from gradcon_ext.chain.engine import Engine
from gradcon_ext.data.held_out import SHARE, held_out
from gradcon_ext.data.image_dataset import ImageDataset, batches, stored_batches
from gradcon_ext.data.images import Images, as_image_dataset, preparation_of, takes_features
from gradcon_ext.data.selected_images import SelectedImages
from gradcon_ext.data.survey import survey
from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import Loss, loss_of
from gradcon_ext.training.checkpoint import Kept, TrainingState
from gradcon_ext.training.constrained import constrained_layers
from gradcon_ext.training.constraint import Average, GradientConstraint
from gradcon_ext.training.cuda_graph import CapturedStep, CudaGraph
from gradcon_ext.training.dead_start import ATTEMPTS, PATIENCE, redraw, symptom
from gradcon_ext.training.epoch import TrainingEpoch, TrainingMetrics, Validation, ValidationMetrics
from gradcon_ext.training.history import Log, epoch_entry, metrics_of, restart_entry
from gradcon_ext.training.pace import Pace, check_whole
from gradcon_ext.training.precision import Precision
from gradcon_ext.training.progress import Progress, run_with_bar
from gradcon_ext.training.run_folder import RunFolder, run_folder
from gradcon_ext.training.schedule import Schedule, Shape
from gradcon_ext.training.seeding import seeded
from gradcon_ext.training.step import OptimizerStep, Step

_log = logging.getLogger(__name__)

_Epoch: TypeAlias = Generator[Progress, None, tuple[TrainingMetrics, ValidationMetrics]]

# Reading the metrics of a step waits for it, which costs nothing on the CPU. A GPU is to have work in line meanwhile.
_READ_EVERY = {"cpu": 1, "cuda": 100}


class Trainer:
    """Trains a model on images of inliers, with its gradients constrained to their running means.

    On the CPU, the same model, images, arguments and number of threads give the same bits again; torch's global
    random numbers are left as they were.

    Args:
        model: any module, such as those of `gradcon_ext.models`; it is trained in place. One with
            `accepts = "features"` is trained on feature maps, whose values need not lie in [0, 1].
        alpha: weight of the constraint in training; 0 trains without it.
        lr: learning rate of Adam; with a schedule, the highest.
        schedule: how the learning rate goes on after the warm-up: "constant", or falling towards 0 along a "linear" or
            "cosine" curve, which `epochs` is the length of; see `gradcon_ext.training.schedule`.
        warmup: epochs in which the learning rate rises to `lr`.
        batch_size: images a step.
        epochs: passes over the training images.
        patience: ends the run after so many epochs without a better validation objective; None never does.
        seed: of the order of the images, and of the model's random numbers in training.
        device: to train on.
        average: which gradients the references average; see `GradientConstraint`.
        loss: of single samples; by default the model's `loss`, or the squared error where it has none.
        layers: names of the constrained weights; those of the decoder by default.
        out: a folder for `history.jsonl` and `checkpoint.safetensors`, written after each epoch; made if need be.
            A run that is not resumed replaces what an earlier one left there, its snapshots included. One run at a time
            has the folder: while it trains, `.lock` and `.lock.json` are there.
        checkpoint_every: after how many epochs the checkpoint is written, beside that after the last.
        log: called after each epoch with its metrics by name and the number of finished epochs, when `out` has them
            already; see `gradcon_ext.training.trackers` for some. What it raises ends the run, which can be resumed.
        overwrite: whether a run that is not resumed may lie among files of somebody else in `out`. No such file is ever
            replaced, overwritten or removed.
        progress: whether to show a progress bar.
        data: facts about the images, such as where they come from; what JSON can hold. They are kept among the facts
            of the detector, and have to be the same to resume.
        preprocessing: facts about how image files were brought to these images, beside their channels and size; what
            JSON can hold. They are kept in the detector, whose user has to do the same to other images.
        precision: "bfloat16" runs the forward pass of training under autocast, which is faster where the hardware has
            it; weights, losses, alignments, references and validation stay in float32. Such steps are not fused.
        snapshot_every: after how many epochs, and again after as many, the detector of that very epoch is kept in `out`
            too, as `epoch-0010.safetensors` and so on; or a collection of such epochs. That of the last epoch always
            is, unless this is None, the default.
        snapshot_best: epochs whose detectors are kept in the same way where they are the best until then, by the
            validation objective; none by default.
        cuda_graph: on a GPU, whether to run a step as one CUDA graph. The model and its loss must then do nothing that
            cannot be captured, such as reading a number from the device.

    Attributes:
        engine: how the last step was computed, and why; None before the first.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        alpha: float = 0.03,
        lr: float = 1e-3,
        schedule: Shape = "constant",
        warmup: int = 0,
        batch_size: int = 64,
        epochs: int = 30,
        patience: int | None = None,
        seed: int = 0,
        device: str | torch.device = "cpu",
        average: Average = "objective",
        loss: Loss | None = None,
        layers: Sequence[str] | None = None,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        checkpoint_every: int = 1,
        log: Log | None = None,
        progress: bool = True,
        data: Mapping[str, Any] | None = None,
        preprocessing: Mapping[str, Any] | None = None,
        precision: Precision = "float32",
        cuda_graph: bool = True,
        snapshot_every: int | Collection[int] | None = None,
        snapshot_best: Collection[int] = (),
    ) -> None:
        self.model = model
        self.alpha = alpha
        self.lr = lr
        self.schedule = schedule
        self.warmup = warmup
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.seed = seed
        self.device = device
        self.average = average
        self.loss = loss
        self.layers = layers
        self.out = out
        self.overwrite = overwrite
        self.checkpoint_every = checkpoint_every
        self.log = log
        self.progress = progress
        self.data = data
        self.preprocessing = preprocessing
        self.precision = precision
        self.cuda_graph = cuda_graph
        self.snapshot_every = snapshot_every
        self.snapshot_best = snapshot_best
        self.engine: Engine | None = None

    def fit(
        self, train: Images, val: Images | float | None = None, resume: bool = False, key: str | None = None
    ) -> Detector:
        """Train, and return the model and references of the epoch with the best validation objective.

        The validation objective is that of batches, as in training: the mean loss less alpha times the mean
        alignment of the batch gradients.

        A dead start (see `gradcon_ext.training.dead_start`) is noticed after a few epochs, and training starts over
        from newly drawn parameters, with the next seed.

        Args:
            train: training images: tensor, array (N, C, H, W) or (N, H, W), dataset, folder, images of Pillow,
                DataLoader or other iterable; see `as_image_dataset`. Of a folder in the layout of MVTec AD, those to
                train on. What has no index is read into memory.
            val: validation images; or the share of the training images, 0.1 by default, that is held out for them, at
                random by the seed.
            resume: whether to go on from the last epoch in `out`, if there is one. The result is then the same as
                without an interruption. `epochs` may be more than it was.
            key: of the image, where the images are in dictionaries; by default that of their only image.

        Raises:
            TypeError: the model is not a module, or the images are of an unknown kind or dtype.
            ValueError: an argument of the trainer is out of range, its device is not there or has no kernels, the
                model has no such layers, or has weights in another precision than bfloat16 can be mixed with; the
                images do not fit the model, have pixels outside [0, 1], or are all alike or black where they are those
                of training; with `resume`, there is no `out`, or the checkpoint there is damaged or of a run with other
                settings; `out` holds files of somebody else.
            FolderInUse: another run is at work in `out`; says which. A RuntimeError.
            RuntimeError: the loss is not finite, or every attempt was a dead start.
        """
        with torch.inference_mode(False), torch.enable_grad():
            return run_with_bar(self.steps(train, val, resume, key), self.epochs, self.progress)

    def steps(
        self, train: Images, val: Images | float | None = None, resume: bool = False, key: str | None = None
    ) -> Generator[Progress | Detector, None, None]:
        """Train as `fit` does, a batch at a time, for a caller that has more than one run to see to.

        Yields how far the run is, once before the first batch and then after each, and at last the detector. Between
        two batches torch's global random numbers are those of the run; the caller may exchange them for others there.
        """
        self.check()
        if resume and self.out is None:
            raise ValueError("resume=True needs a folder: give Trainer an `out`")
        train_images, val_images = self._as_datasets(train, val, key)
        if train_images.shape != val_images.shape:
            raise ValueError(
                f"training images have shape (C, H, W) = {train_images.shape}, "
                f"validation images {val_images.shape}; expected the same"
            )
        with seeded(self._device, self.seed):  # for a dataset that draws random numbers
            baseline, digests, (alike, _) = survey([train_images, val_images], self.batch_size)
        if alike:
            _refuse_blank(train_images)
        settings = self._settings(train_images, val_images, digests)
        with run_folder(self._folder, settings, resume, self.overwrite) as folder:
            detector = yield from self._run(folder, settings, train_images, val_images, baseline, resume)
        yield detector  # when the folder is free again, for some callers kill their process as soon as they have it

    def _run(
        self,
        folder: RunFolder,
        settings: dict[str, Any],
        train: ImageDataset,
        val: ImageDataset,
        baseline: Tensor,
        resume: bool,
    ) -> Generator[Progress, None, Detector]:
        state, pace = self._new_state(), self._pace
        if resume:
            folder.load(state)
            if state.epoch > self.epochs:
                raise ValueError(f"{self.out} has {state.epoch} epochs already; expected at most epochs={self.epochs}")
        # Also before the first epoch, lest an interruption leave the checkpoint of an earlier run in place.
        folder.save(state)
        yield Progress(state.epoch * len(train), self.epochs * len(train), state.epoch + 1)
        step = self._new_step(state, train.shape)
        while not pace.is_over(state):
            self._schedule.apply(state.optimizer, state.epoch)
            training, validation = yield from self._run_epoch(state, step, train, val, baseline)
            found = self._symptom(state, training, validation)
            folder.save_history(state)
            if found is not None:
                self._restart(state, found, baseline)
                step = self._new_step(state, train.shape)
            elif pace.has_snapshot(state):
                entry = state.history[-1]
                kept = state.kept(entry["validation_objective"], entry["validation_reconstruction"])
                folder.save_snapshot(self._detector(state, kept, train.shape, settings), state.epoch)
            if pace.has_checkpoint(state):
                folder.save(state)
            if found is None and self.log is not None:
                self.log(metrics_of(state.history[-1], self._layers, self._schedule.rate(state.epoch - 1)), state.epoch)
        assert state.best is not None  # an epoch has finished
        self.model.load_state_dict(state.best.weights)
        self.model.zero_grad()
        self.model.eval()
        return self._detector(state, state.best, train.shape, settings)

    @property
    def _device(self) -> torch.device:
        return usable_device(self.device)

    @property
    def _loss(self) -> Loss:
        return self.loss or loss_of(self.model)

    @property
    def _schedule(self) -> Schedule:
        return Schedule(self.lr, self.schedule, self.warmup, self.epochs)

    @property
    def _pace(self) -> Pace:
        return Pace(self.epochs, self.patience, self.checkpoint_every, self.snapshot_every, self.snapshot_best)

    @property
    def _layers(self) -> list[str]:
        return list(constrained_layers(self.model, self.layers))

    @property
    def _folder(self) -> Path | None:
        return None if self.out is None else Path(self.out)

    def check(self) -> None:
        """Check what the constructor was given, which only keeps it. `fit` does so first.

        Raises:
            TypeError, ValueError: as in `fit`, for all but the images and the folder.
        """
        if not isinstance(self.model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(self.model).__name__}")
        for name, least in {"batch_size": 1, "seed": 0, "warmup": 0}.items():
            check_whole(name, getattr(self, name), least)
        self._pace.check(has_folder=self.out is not None)
        self._schedule.check()
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision must be one of {get_args(Precision)}, got {self.precision!r}")
        if self.precision == "bfloat16" and self._dtypes() != "torch.float32":
            raise ValueError(f"precision 'bfloat16' needs a model in torch.float32, got {self._dtypes()}")
        if any(tensor.is_inference() for tensor in (*self.model.parameters(), *self.model.buffers())):
            raise ValueError("the model was made in torch.inference_mode(), which cannot be trained: copy it outside")
        self._new_constraint()  # for its checks

    def _run_epoch(
        self, state: TrainingState, step: Step, train: ImageDataset, val: ImageDataset, baseline: Tensor
    ) -> _Epoch:
        images, total = state.epoch * len(train), self.epochs * len(train)
        started = perf_counter()
        with seeded(self._device, state.seed, state.epoch):
            order = torch.randperm(len(train))
            epoch = TrainingEpoch(step, state.epoch + 1, _READ_EVERY[self._device.type])
            # Bytes for the fused engine, which runs on the CPU alone.
            read = stored_batches if self._device.type == "cpu" else batches
            for batch in read(train, self.batch_size, order):
                epoch.take(batch)
                self.engine = step.engine
                images += len(batch)
                yield Progress(images, total, state.epoch + 1, epoch.loss, epoch.cosine)
            training = epoch.metrics()
            validated = Validation(state, self._loss, baseline)
            for batch in batches(val, self.batch_size):
                validated.take(batch)
                yield Progress(images, total, state.epoch + 1, epoch.loss, epoch.cosine)
            validation = validated.metrics()
        self._record(state, training, validation, perf_counter() - started)
        return training, validation

    def _record(
        self, state: TrainingState, training: TrainingMetrics, validation: ValidationMetrics, seconds: float
    ) -> None:
        """Count an epoch that has finished, and keep what it left if it is the best."""
        objective = validation.objective(self.alpha)
        state.epoch += 1
        if not math.isfinite(objective):
            raise RuntimeError(f"the validation objective is {objective} after epoch {state.epoch}")
        is_best = state.best is None or objective < state.best.objective
        if is_best:
            state.best = state.kept(objective, validation.reconstruction)
        state.history.append(epoch_entry(state, training, validation, objective, seconds, is_best))

    def _symptom(self, state: TrainingState, training: TrainingMetrics, validation: ValidationMetrics) -> str | None:
        """Say in which way the attempt is dead; None if it is alive, or not to be judged yet."""
        if not self._pace.is_over(state) and (state.epoch < PATIENCE or state.attempt == ATTEMPTS):
            return None
        assert state.best is not None  # an epoch has finished
        return symptom(training, validation, state.best.reconstruction, state.constraint.count * self.lr)

    def _restart(self, state: TrainingState, found: str, baseline: Tensor) -> None:
        """Begin the next attempt from new parameters, or raise RuntimeError after the last."""
        reason = f"dead start with seed {state.seed}: after {state.epoch} epochs {found}"
        if state.attempt == ATTEMPTS:
            raise RuntimeError(f"{reason}; gave up after {ATTEMPTS} attempts")
        redraw(state.model, self._device, state.seed + 1, baseline)
        _log.warning("%s; restarting with seed %d", reason, state.seed + 1)
        state.history.append(restart_entry(state, reason))
        state.constraint, state.optimizer = self._new_constraint(), self._new_optimizer()
        state.attempt, state.seed, state.epoch, state.best = state.attempt + 1, state.seed + 1, 0, None

    def _new_state(self) -> TrainingState:
        self.model.to(self._device)
        return TrainingState(
            self.model, self._new_constraint(), self._new_optimizer(), self.seed, planned_epochs=self.epochs
        )

    def _new_constraint(self) -> GradientConstraint:
        layers = constrained_layers(self.model, self._layers)
        weights = {name: layer.get_parameter("weight") for name, layer in layers.items()}
        capturable = self._device.type == "cuda" and self.cuda_graph
        return GradientConstraint(weights, self.alpha, self.average, capturable)

    def _new_optimizer(self) -> torch.optim.Optimizer:
        is_captured = self._device.type == "cuda"
        varies = is_captured and not self._schedule.is_constant
        lr = torch.tensor(self.lr, device=self._device) if varies else self.lr
        return torch.optim.Adam(self.model.parameters(), lr=lr, capturable=is_captured)

    def _new_step(self, state: TrainingState, image_shape: tuple[int, ...]) -> Step:
        step = OptimizerStep(state, self._loss, image_shape, self.precision)
        if self._device.type == "cuda" and self.cuda_graph:
            return CapturedStep(step, state.constraint, CudaGraph(self._device))
        return step

    def _as_datasets(
        self, train: Images, val: Images | float | None, key: str | None
    ) -> tuple[ImageDataset, ImageDataset]:
        images = self._as_dataset(train, key)
        if val is not None and not isinstance(val, float):
            return images, self._as_dataset(val, key)
        parts = held_out(len(images), self.seed, calibration=False, share=SHARE if val is None else val)
        return SelectedImages(images, parts.train), SelectedImages(images, parts.validation)

    def _as_dataset(self, images: Images, key: str | None) -> ImageDataset:
        """Check images against the model's architecture, where it has one; any other model checks them itself."""
        architecture = getattr(self.model, "architecture", {})
        return as_image_dataset(
            images,
            channels=architecture.get("channels"),
            size=architecture.get("size"),
            features=takes_features(self.model),
            key=key,
            preparation=preparation_of(self.model, self.preprocessing or {}),
            part="train",
        )

    def _dtypes(self) -> str:
        return ", ".join(sorted({str(parameter.dtype) for parameter in self.model.parameters()}))

    def _settings(self, train: ImageDataset, val: ImageDataset, digests: Sequence[str]) -> dict[str, Any]:
        """What shapes the steps of a run, as JSON holds it."""
        settings = {
            "model": getattr(self.model, "architecture", type(self.model).__name__),
            "loss": getattr(self._loss, "__qualname__", type(self._loss).__name__),
            "layers": self._layers,
            "dtype": self._dtypes(),
            "precision": self.precision,
            "alpha": float(self.alpha),
            "average": self.average,
            "lr": float(self.lr),
            "schedule": self._schedule.facts,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "data": dict(self.data or {}),
            "train_images": len(train),
            "validation_images": len(val),
            "train_digest": digests[0],
            "validation_digest": digests[1],
        }
        # As they come back from a checkpoint: of tuples, for one, JSON makes lists.
        as_json: dict[str, Any] = json.loads(json.dumps(settings))
        return as_json

    def _detector(
        self, state: TrainingState, kept: Kept, shape: tuple[int, int, int], settings: dict[str, Any]
    ) -> Detector:
        """The model as it is, with what was kept of the same epoch."""
        training = {
            **settings,
            "device": str(self._device),
            "epochs": state.epoch,
            "best_epoch": kept.epoch,
            "attempt": state.attempt,
            "attempt_seed": state.seed,
            "validation_objective": kept.objective,
            "seconds": sum(entry.get("seconds", 0.0) for entry in state.history),
        }
        channels, height, width = shape
        preprocessing = {**(self.preprocessing or {}), "channels": channels, "size": [height, width]}
        return Detector(self.model, kept.references, kept.count, preprocessing=preprocessing, training=training)


def _refuse_blank(images: ImageDataset) -> None:
    """Raise ValueError for training images that are all alike, unless it is a single one that is not black."""
    colour = ", and black" if not images[0].any() else ""
    if len(images) > 1 or colour:
        raise ValueError(f"all {len(images)} training images are alike{colour}: there is nothing to learn from them")
