"""What a training run does from its first batch to its last."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

import torch
from torch import Tensor, nn

from gradcon_ext.chain.engine import Engine
from gradcon_ext.data.image_dataset import ImageDataset, batches, stored_batches
from gradcon_ext.detector.detector import Detector
from gradcon_ext.losses import Loss
from gradcon_ext.training.checkpoint import Kept, TrainingState
from gradcon_ext.training.constrained import constrained_layers
from gradcon_ext.training.constraint import Average, GradientConstraint
from gradcon_ext.training.cuda_graph import CapturedStep, CudaGraph
from gradcon_ext.training.dead_start import PATIENCE, redraw, symptom
from gradcon_ext.training.epoch import TrainingEpoch, TrainingMetrics, Validation, ValidationMetrics
from gradcon_ext.training.history import Log, epoch_entry, lead_in_entry, metrics_of, restart_entry
from gradcon_ext.training.lead_in import freeze_all_but_decoder, outside_decoder, thawed_at_the_end, use_as_it_is
from gradcon_ext.training.phase import Phase
from gradcon_ext.training.precision import Precision
from gradcon_ext.training.progress import Progress
from gradcon_ext.training.run_folder import RunFolder
from gradcon_ext.training.seeding import seeded
from gradcon_ext.training.step import OptimizerStep, Step

_log = logging.getLogger(__name__)

_Epoch: TypeAlias = Generator[Progress, None, tuple[TrainingMetrics, ValidationMetrics]]

# Reading the metrics of a step waits for it, which costs nothing on the CPU. A GPU is to have work in line meanwhile.
_READ_EVERY = {"cpu": 1, "cuda": 100}


@dataclass(frozen=True)
class Plan:
    """How a model is trained; see the arguments of `Trainer` with the same names.

    Attributes:
        layers: names of the constrained weights.
        lead_in: the phase before the last; None where there is none.
        main: the last phase.
        captures: whether a step becomes a CUDA graph.
    """

    model: nn.Module
    loss: Loss
    layers: Sequence[str]
    average: Average
    batch_size: int
    seed: int
    device: torch.device
    precision: Precision
    captures: bool
    log: Log | None
    lead_in: Phase | None
    main: Phase

    @property
    def epochs(self) -> int:
        """Passes over the training images, without those of dead starts."""
        return self.main.first_epoch + self.main.pace.epochs

    def new_constraint(self, phase: Phase) -> GradientConstraint:
        """Make the constraint of a phase, which has seen no gradient.

        Raises:
            ValueError: as `GradientConstraint` and `constrained_layers` do.
        """
        layers = constrained_layers(self.model, self.layers)
        weights = {name: layer.get_parameter("weight") for name, layer in layers.items()}
        return GradientConstraint(weights, phase.alpha, self.average, self.captures)

    def new_optimizer(self, phase: Phase) -> torch.optim.Optimizer:
        """Make the optimizer of a phase."""
        is_captured = self.device.type == "cuda"
        varies = is_captured and not phase.schedule.is_constant
        lr = torch.tensor(phase.schedule.lr, device=self.device) if varies else phase.schedule.lr
        return torch.optim.Adam(self.model.parameters(), lr=lr, capturable=is_captured)

    def phase_of(self, state: TrainingState) -> Phase:
        """Return the phase that a run is in."""
        if not state.leads_in:
            return self.main
        assert self.lead_in is not None  # a checkpoint has the settings of its run
        return self.lead_in


class TrainingLoop:
    """Trains a model.

    Args:
        plan: how.
        folder: for what is kept.
        detector_of: makes a detector of the model as it is and of what was kept of the same epoch.
        train: images to train on.
        val: images for validation.
        mean_image: of both, (C, H, W).

    Attributes:
        engine: how the last step was computed, and why; None before the first.
    """

    def __init__(
        self,
        plan: Plan,
        folder: RunFolder,
        detector_of: Callable[[TrainingState, Kept], Detector],
        train: ImageDataset,
        val: ImageDataset,
        mean_image: Tensor,
    ) -> None:
        self.engine: Engine | None = None
        self._plan = plan
        self._folder = folder
        self._detector_of = detector_of
        self._train = train
        self._val = val
        self._mean_image = mean_image

    def run(self, resume: bool) -> Generator[Progress, None, Detector]:
        """Train from the beginning, or go on from what is in the folder."""
        model, state = self._plan.model, self._new_state()
        with thawed_at_the_end(model):
            if resume:
                self._go_on(state)
            # Also before the first epoch, lest an interruption leave the checkpoint of an earlier run in place.
            self._folder.save(state)
            yield self._progress(state, 0)
            if state.leads_in:
                yield from self._run_phase(state)
                self._end_lead_in(state)
            yield from self._run_phase(state)
        assert state.best is not None  # an epoch has finished
        model.load_state_dict(state.best.weights)
        model.zero_grad()
        model.eval()
        return self._detector_of(state, state.best)

    def _run_phase(self, state: TrainingState) -> Generator[Progress, None, None]:
        phase = self._plan.phase_of(state)
        step = self._new_step(state)
        while not phase.pace.is_over(state):
            phase.schedule.apply(state.optimizer, state.epoch)
            training, validation = yield from self._run_epoch(state, step)
            found = self._symptom(state, training, validation)
            self._folder.save_history(state)
            if found is not None:
                self._restart(state, found)
                step = self._new_step(state)
            elif phase.pace.has_snapshot(state):
                entry = state.history[-1]
                kept = state.kept(entry["validation_objective"], entry["validation_reconstruction"])
                self._folder.save_snapshot(self._detector_of(state, kept), state.epoch)
            if phase.pace.has_checkpoint(state):
                self._folder.save(state)
            if found is None and self._plan.log is not None:
                metrics = metrics_of(state.history[-1], self._plan.layers, phase.schedule.rate(state.epoch - 1))
                self._plan.log(metrics, phase.first_epoch + state.epoch)

    def _run_epoch(self, state: TrainingState, step: Step) -> _Epoch:
        plan, images = self._plan, 0
        started = perf_counter()
        with seeded(plan.device, state.seed, state.epoch):
            order = torch.randperm(len(self._train))
            epoch = TrainingEpoch(step, state.epoch + 1, _READ_EVERY[plan.device.type])
            if self._is_led_in(state):
                use_as_it_is(state.model)
            # Bytes for the fused engine, which runs on the CPU alone.
            read = stored_batches if plan.device.type == "cpu" else batches
            for batch in read(self._train, plan.batch_size, order):
                epoch.take(batch)
                self.engine = step.engine
                images += len(batch)
                yield self._progress(state, images, epoch)
            training = epoch.metrics()
            validated = Validation(state, plan.loss, self._mean_image)
            for batch in batches(self._val, plan.batch_size):
                validated.take(batch)
                yield self._progress(state, images, epoch)
            validation = validated.metrics()
        self._record(state, training, validation, perf_counter() - started)
        return training, validation

    def _progress(self, state: TrainingState, images: int, epoch: TrainingEpoch | None = None) -> Progress:
        """Say how far the run is, with so many images taken in the epoch under way."""
        before, total = self._plan.phase_of(state).first_epoch + state.epoch, self._plan.epochs
        done = before * len(self._train) + images
        recent = (None, None) if epoch is None else (epoch.loss, epoch.cosine)
        return Progress(done, total * len(self._train), before + 1, *recent)

    def _record(
        self, state: TrainingState, training: TrainingMetrics, validation: ValidationMetrics, seconds: float
    ) -> None:
        """Count an epoch that has finished, and keep what it left if it is the best."""
        objective = validation.objective(state.constraint.alpha)
        state.epoch += 1
        if not math.isfinite(objective):
            raise RuntimeError(f"the validation objective is {objective} after epoch {state.epoch}")
        is_best = state.best is None or objective < state.best.objective
        if is_best:
            state.best = state.kept(objective, validation.reconstruction)
        state.history.append(epoch_entry(state, training, validation, objective, seconds, is_best))

    def _symptom(self, state: TrainingState, training: TrainingMetrics, validation: ValidationMetrics) -> str | None:
        """Say in which way the attempt is dead; None if it is alive, or not to be judged yet."""
        phase = self._plan.phase_of(state)
        if not phase.pace.is_over(state) and (state.epoch < PATIENCE or state.attempt == phase.last_attempt):
            return None
        assert state.best is not None  # an epoch has finished
        reach = state.constraint.count * phase.schedule.lr
        return symptom(training, validation, state.best.reconstruction, reach)

    def _restart(self, state: TrainingState, found: str) -> None:
        """Begin the next attempt from new parameters, or raise RuntimeError after the last."""
        phase = self._plan.phase_of(state)
        reason = f"dead start with seed {state.seed}: after {state.epoch} epochs {found}"
        if state.attempt == phase.last_attempt:
            raise RuntimeError(f"{reason}; gave up after {phase.last_attempt} attempts")
        self._redraw(state, state.seed + 1)
        _log.warning("%s; restarting with seed %d", reason, state.seed + 1)
        state.history.append(restart_entry(state, reason))
        self._begin(state, state.seed + 1)

    def _end_lead_in(self, state: TrainingState) -> None:
        """Keep the code of the best epoch, and give it a decoder that has learnt nothing."""
        assert state.best is not None  # an epoch has finished
        state.model.load_state_dict(state.best.weights)
        freeze_all_but_decoder(state.model)
        state.history.append(lead_in_entry(state))
        state.leads_in = False
        self._redraw(state, state.seed)
        self._begin(state, state.seed)
        self._folder.save(state)

    def _redraw(self, state: TrainingState, seed: int) -> None:
        spared = outside_decoder(state.model) if self._is_led_in(state) else ()
        redraw(state.model, self._plan.device, seed, self._mean_image, spared)

    def _begin(self, state: TrainingState, seed: int) -> None:
        """Begin the next attempt with the parameters that the model has."""
        phase = self._plan.phase_of(state)
        state.constraint, state.optimizer = self._plan.new_constraint(phase), self._plan.new_optimizer(phase)
        state.attempt, state.seed, state.epoch, state.best = state.attempt + 1, seed, 0, None

    def _new_state(self) -> TrainingState:
        plan = self._plan
        plan.model.to(plan.device)
        first = plan.lead_in or plan.main
        return TrainingState(
            plan.model,
            plan.new_constraint(first),
            plan.new_optimizer(first),
            plan.seed,
            planned_epochs=plan.main.pace.epochs,
            leads_in=plan.lead_in is not None,
        )

    def _go_on(self, state: TrainingState) -> None:
        """Bring a run that has not begun to where the one in the folder is."""
        self._folder.load(state)
        phase = self._plan.phase_of(state)
        if state.epoch > phase.pace.epochs:
            raise ValueError(
                f"{self._folder.path} has {state.epoch} epochs already; expected at most epochs={phase.pace.epochs}"
            )
        state.constraint.alpha = phase.alpha
        if self._is_led_in(state):
            freeze_all_but_decoder(state.model)

    def _is_led_in(self, state: TrainingState) -> bool:
        """Whether there was a lead-in, so that the decoder alone is trained."""
        return self._plan.lead_in is not None and not state.leads_in

    def _new_step(self, state: TrainingState) -> Step:
        step = OptimizerStep(state, self._plan.loss, self._train.shape, self._plan.precision)
        if self._plan.captures:
            return CapturedStep(step, state.constraint, CudaGraph(self._plan.device))
        return step
