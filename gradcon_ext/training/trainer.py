"""Training of an autoencoder under the gradient constraint."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Generator, Mapping, Sequence
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from gradcon_ext._install.device import usable_device
from gradcon_ext.chain.engine import Engine
from gradcon_ext.data.held_out import SHARE, held_out
from gradcon_ext.data.image_dataset import ImageDataset
from gradcon_ext.data.images import Images, as_image_dataset, preparation_of, takes_features
from gradcon_ext.data.selected_images import SelectedImages
from gradcon_ext.data.survey import refuse_blank, survey
from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import Loss, loss_of
from gradcon_ext.training.checkpoint import Kept, TrainingState
from gradcon_ext.training.constrained import constrained_layers
from gradcon_ext.training.constraint import Average
from gradcon_ext.training.history import Log
from gradcon_ext.training.lead_in import check_lead_in
from gradcon_ext.training.loop import Plan, TrainingLoop
from gradcon_ext.training.pace import Pace, check_whole
from gradcon_ext.training.phase import Phase
from gradcon_ext.training.precision import Precision
from gradcon_ext.training.progress import Progress, run_with_bar
from gradcon_ext.training.run_folder import run_folder
from gradcon_ext.training.schedule import Schedule, Shape
from gradcon_ext.training.seeding import seeded


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
        lead_in: passes before these, without the constraint. Then the decoder alone is drawn anew and trained under
            the constraint, on the code of the best of them; see `gradcon_ext.training.lead_in`. The model needs a
            `decoder`, which has all of the constrained weights.
        patience: ends the run, and before that a lead-in, after so many epochs without a better validation objective;
            None never does.
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
            validation objective; none by default. There are no snapshots of a lead-in.
        cuda_graph: on a GPU, whether to run a step as one CUDA graph. The model and its loss must then do nothing that
            cannot be captured, such as reading a number from the device.
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
        lead_in: int = 0,
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
        self.lead_in = lead_in
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
        self._loop: TrainingLoop | None = None

    @property
    def engine(self) -> Engine | None:
        """How the last step was computed, and why; None before the first."""
        return None if self._loop is None else self._loop.engine

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
            return run_with_bar(self.steps(train, val, resume, key), self.lead_in + self.epochs, self.progress)

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
            baseline, digests = survey([train_images, val_images], self.batch_size)
            refuse_blank(train_images)
        settings = self._settings(train_images, val_images, digests)
        with run_folder(None if self.out is None else Path(self.out), settings, resume, self.overwrite) as folder:
            detector_of = partial(self._detector, train_images.shape, settings)
            self._loop = TrainingLoop(self._plan, folder, detector_of, train_images, val_images, baseline)
            detector = yield from self._loop.run(resume)
        yield detector  # when the folder is free again, for some callers kill their process as soon as they have it

    @property
    def _device(self) -> torch.device:
        return usable_device(self.device)

    @property
    def _loss(self) -> Loss:
        return self.loss or loss_of(self.model)

    @property
    def _schedule(self) -> Schedule:
        return Schedule(float(self.lr), self.schedule, int(self.warmup), int(self.epochs))

    @property
    def _phases(self) -> tuple[Phase | None, Phase]:
        pace = Pace(int(self.epochs), self.patience, self.checkpoint_every, self.snapshot_every, self.snapshot_best)
        phase = Phase(float(self.alpha), self._schedule, pace)
        return phase.before(int(self.lead_in)) if self.lead_in else (None, phase)

    @property
    def _plan(self) -> Plan:
        lead_in, main = self._phases
        return Plan(
            model=self.model,
            loss=self._loss,
            layers=list(constrained_layers(self.model, self.layers)),
            average=self.average,
            batch_size=int(self.batch_size),
            seed=int(self.seed),
            device=self._device,
            precision=self.precision,
            captures=self._device.type == "cuda" and self.cuda_graph,
            log=self.log,
            lead_in=lead_in,
            main=main,
        )

    def check(self) -> None:
        """Check what the constructor was given, which only keeps it. `fit` does so first.

        Raises:
            TypeError, ValueError: as in `fit`, for all but the images and the folder.
        """
        if not isinstance(self.model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(self.model).__name__}")
        for name, least in {"batch_size": 1, "seed": 0, "warmup": 0, "epochs": 1, "lead_in": 0}.items():
            check_whole(name, getattr(self, name), least)
        for phase in self._phases:
            if phase is not None:
                phase.check(has_folder=self.out is not None)
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision must be one of {get_args(Precision)}, got {self.precision!r}")
        if self.precision == "bfloat16" and self._dtypes() != "torch.float32":
            raise ValueError(f"precision 'bfloat16' needs a model in torch.float32, got {self._dtypes()}")
        if any(tensor.is_inference() for tensor in (*self.model.parameters(), *self.model.buffers())):
            raise ValueError("the model was made in torch.inference_mode(), which cannot be trained: copy it outside")
        constraint = self._plan.new_constraint(self._phases[1])  # for its checks
        if self.lead_in:
            check_lead_in(self.model, constraint.weights)

    def _as_datasets(
        self, train: Images, val: Images | float | None, key: str | None
    ) -> tuple[ImageDataset, ImageDataset]:
        images = self._as_dataset(train, key)
        if val is not None and not isinstance(val, float | Real):
            return images, self._as_dataset(val, key)
        parts = held_out(len(images), self.seed, calibration=False, share=SHARE if val is None else float(val))
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
            "layers": list(constrained_layers(self.model, self.layers)),
            "dtype": self._dtypes(),
            "precision": self.precision,
            "alpha": float(self.alpha),
            "average": self.average,
            "lr": float(self.lr),
            "schedule": self._schedule.facts,
            "lead_in": int(self.lead_in),
            "batch_size": int(self.batch_size),
            "seed": int(self.seed),
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
        self, shape: tuple[int, int, int], settings: dict[str, Any], state: TrainingState, kept: Kept
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
