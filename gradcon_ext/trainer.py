"""Training of an autoencoder under the gradient constraint."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gradcon_ext.checkpoint import TrainingState
from gradcon_ext.constrained import constrained_layers
from gradcon_ext.constraint import Average, GradientConstraint
from gradcon_ext.dead_start import ATTEMPTS, PATIENCE, redraw, symptom
from gradcon_ext.detector import Detector
from gradcon_ext.device import usable_device
from gradcon_ext.epoch import TrainingFigures, ValidationFigures, train_epoch, validate
from gradcon_ext.images import ImageDataset, Images, as_image_dataset, batches, mean_image
from gradcon_ext.losses import Loss, loss_of
from gradcon_ext.run_folder import RunFolder
from gradcon_ext.seeding import seeded

_log = logging.getLogger(__name__)


class Trainer:
    """Trains a model on images of inliers, with its gradients constrained to their running means.

    On the CPU, the same model, images, arguments and number of threads give the same bits again; torch's global
    random numbers are left as they were.

    Args:
        model: any module, such as those of `gradcon_ext.models`; it is trained in place.
        alpha: weight of the constraint in training; 0 trains without it.
        lr: learning rate of Adam.
        batch_size: images a step.
        epochs: passes over the training images.
        seed: of the order of the images, and of the model's random numbers in training.
        device: to train on.
        average: which gradients the references average; see `GradientConstraint`.
        loss: of single samples; by default the model's `loss`, or the squared error where it has none.
        layers: names of the constrained weights; those of the decoder by default.
        out: a folder for `history.jsonl` and `checkpoint.safetensors`, written after each epoch; made if need be.
            A run that is not resumed replaces what an earlier one left there.
        progress: whether to show a progress bar.
        data: facts about the images, such as where they come from; what JSON can hold. They are kept among the facts
            of the detector, and have to be the same to resume.

    Raises:
        TypeError: the model is not a module.
        ValueError: an argument is out of range, the device is not there or has no kernels, or the model has no such
            layers.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        alpha: float = 0.03,
        lr: float = 1e-3,
        batch_size: int = 64,
        epochs: int = 30,
        seed: int = 0,
        device: str | torch.device = "cpu",
        average: Average = "objective",
        loss: Loss | None = None,
        layers: Sequence[str] | None = None,
        out: str | os.PathLike[str] | None = None,
        progress: bool = True,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        if not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"lr must be finite and positive, got {lr}")
        for name, value, least in (("batch_size", batch_size, 1), ("epochs", epochs, 1), ("seed", seed, 0)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
        self.model = model
        self.alpha = float(alpha)
        self.lr = float(lr)
        self.batch_size = batch_size
        self.epochs = epochs
        self.seed = seed
        self.device = usable_device(device)
        self.average = average
        self.loss = loss or loss_of(model)
        self.layers = list(constrained_layers(model, layers))
        self.out = None if out is None else Path(out)
        self.progress = progress
        self.data = dict(data or {})
        self._new_constraint()  # for its checks

    def fit(self, train: Images, val: Images, resume: bool = False) -> Detector:
        """Train, and return the model and references of the epoch with the best validation objective.

        The validation objective is that of batches, as in training: the mean loss less alpha times the mean
        alignment of the batch gradients.

        A dead start (see `gradcon_ext.dead_start`) is noticed after a few epochs, and training starts over from
        newly drawn parameters, with the next seed.

        Args:
            train: training images: tensor, array (N, C, H, W) or (N, H, W), or dataset; see `as_image_dataset`.
            val: validation images.
            resume: whether to go on from the last epoch in `out`, if there is one. The result is then the same as
                without an interruption. `epochs` may be more than it was.

        Raises:
            TypeError: the images are of an unknown kind or dtype.
            ValueError: the images do not fit the model or have pixels outside [0, 1]; with `resume`, there is no
                `out`, or the checkpoint there is damaged or of a run with other settings.
            RuntimeError: the loss is not finite, or every attempt was a dead start.
        """
        if resume and self.out is None:
            raise ValueError("resume=True needs a folder: give Trainer an `out`")
        train_images, val_images = self._as_dataset(train), self._as_dataset(val)
        if train_images.shape != val_images.shape:
            raise ValueError(
                f"training images have shape (C, H, W) = {train_images.shape}, "
                f"validation images {val_images.shape}; expected the same"
            )
        settings = self._settings(train_images, val_images)
        folder = RunFolder(self.out, settings)
        state = self._new_state()
        if resume:
            folder.load(state)
            if state.epoch > self.epochs:
                raise ValueError(f"{self.out} has {state.epoch} epochs already; expected at most epochs={self.epochs}")
        # Also before the first epoch, lest an interruption leave the checkpoint of an earlier run in place.
        folder.save(state)
        with seeded(self.device, self.seed):  # for a dataset that draws random numbers
            baseline = mean_image([train_images, val_images], self.batch_size)
        with tqdm(
            total=self.epochs * len(train_images),
            initial=state.epoch * len(train_images),
            unit=" images",
            unit_scale=True,
            disable=not self.progress,
        ) as bar:
            while state.epoch < self.epochs:
                training, validation = self._run_epoch(state, train_images, val_images, baseline, bar)
                found = self._symptom(state, training, validation)
                if found is not None:
                    folder.save_history(state)
                    self._restart(state, found)
                    bar.reset()
                folder.save(state)
        return self._detector(state, train_images.shape, settings)

    def _run_epoch(
        self, state: TrainingState, train: ImageDataset, val: ImageDataset, baseline: Tensor, bar: tqdm[NoReturn]
    ) -> tuple[TrainingFigures, ValidationFigures]:
        def report(images: int, loss: float, cosine: float) -> None:
            bar.set_postfix(loss=f"{loss:.4f}", cosine=f"{cosine:.3f}", refresh=False)
            bar.update(images)

        bar.set_description(f"epoch {state.epoch + 1}/{self.epochs}")
        started = perf_counter()
        with seeded(self.device, state.seed, state.epoch):
            order = torch.randperm(len(train))
            training = train_epoch(state, self.loss, batches(train, self.batch_size, order), report)
            validation = validate(state, self.loss, batches(val, self.batch_size), baseline)
        objective = validation.objective(self.alpha)
        state.epoch += 1
        if not math.isfinite(objective):
            raise RuntimeError(f"the validation objective is {objective} after epoch {state.epoch}")
        is_best = state.best is None or objective < state.best.objective
        if is_best:
            state.keep_as_best(objective, validation.reconstruction)
        state.history.append(
            {
                "epoch": state.epoch,
                "attempt": state.attempt,
                "seed": state.seed,
                "loss": training.loss,
                **asdict(training),
                "validation_objective": objective,
                **{f"validation_{name}": figure for name, figure in asdict(validation).items()},
                "seconds": perf_counter() - started,
                "best": is_best,
            }
        )
        return training, validation

    def _symptom(self, state: TrainingState, training: TrainingFigures, validation: ValidationFigures) -> str | None:
        """Say in which way the attempt is dead; None if it is alive, or not to be judged yet."""
        if state.epoch < self.epochs and (state.epoch < PATIENCE or state.attempt == ATTEMPTS):
            return None
        assert state.best is not None  # an epoch has finished
        return symptom(training, validation, state.best.reconstruction, state.constraint.count * self.lr)

    def _restart(self, state: TrainingState, found: str) -> None:
        """Begin the next attempt from new parameters, or raise RuntimeError after the last."""
        reason = f"dead start with seed {state.seed}: after {state.epoch} epochs {found}"
        if state.attempt == ATTEMPTS:
            raise RuntimeError(f"{reason}; gave up after {ATTEMPTS} attempts")
        redraw(state.model, self.device, state.seed + 1)
        _log.warning("%s; restarting with seed %d", reason, state.seed + 1)
        state.history.append(
            {
                "event": "restart",
                "epoch": state.epoch,
                "attempt": state.attempt,
                "seed": state.seed,
                "next_seed": state.seed + 1,
                "reason": reason,
            }
        )
        state.constraint, state.optimizer = self._new_constraint(), self._new_optimizer()
        state.attempt, state.seed, state.epoch, state.best = state.attempt + 1, state.seed + 1, 0, None

    def _new_state(self) -> TrainingState:
        self.model.to(self.device)
        return TrainingState(
            self.model, self._new_constraint(), self._new_optimizer(), self.seed, planned_epochs=self.epochs
        )

    def _new_constraint(self) -> GradientConstraint:
        layers = constrained_layers(self.model, self.layers)
        weights = {name: layer.get_parameter("weight") for name, layer in layers.items()}
        return GradientConstraint(weights, self.alpha, self.average)

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.model.parameters(), lr=self.lr)

    def _as_dataset(self, images: Images) -> ImageDataset:
        """Check images against the model's architecture, where it has one; any other model checks them itself."""
        architecture = getattr(self.model, "architecture", {})
        return as_image_dataset(images, channels=architecture.get("channels"), size=architecture.get("size"))

    def _settings(self, train: ImageDataset, val: ImageDataset) -> dict[str, Any]:
        """What shapes the steps of a run, as JSON holds it."""
        settings = {
            "model": getattr(self.model, "architecture", type(self.model).__name__),
            "loss": getattr(self.loss, "__qualname__", type(self.loss).__name__),
            "layers": self.layers,
            "dtype": ", ".join(sorted({str(parameter.dtype) for parameter in self.model.parameters()})),
            "alpha": self.alpha,
            "average": self.average,
            "lr": self.lr,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "data": self.data,
            "train_images": len(train),
            "validation_images": len(val),
        }
        # As they come back from a checkpoint: of tuples, for one, JSON makes lists.
        as_json: dict[str, Any] = json.loads(json.dumps(settings))
        return as_json

    def _detector(self, state: TrainingState, shape: tuple[int, int, int], settings: dict[str, Any]) -> Detector:
        best = state.best
        assert best is not None  # an epoch has finished
        self.model.load_state_dict(best.weights)
        self.model.zero_grad()
        training = {
            **settings,
            "device": str(self.device),
            "epochs": state.epoch,
            "best_epoch": best.epoch,
            "attempt": state.attempt,
            "attempt_seed": state.seed,
            "validation_objective": best.objective,
            "seconds": sum(entry.get("seconds", 0.0) for entry in state.history),
        }
        channels, height, width = shape
        preprocessing = {"channels": channels, "size": [height, width]}
        return Detector(self.model.eval(), best.references, best.count, preprocessing=preprocessing, training=training)
