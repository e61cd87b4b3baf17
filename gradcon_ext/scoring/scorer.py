"""Anomaly scores of images, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from gradcon_ext._install.device import usable_device
from gradcon_ext.alignment import align_with_aux, parameter_of
from gradcon_ext.alignment.code import code_of
from gradcon_ext.alignment.references import check_holds
from gradcon_ext.chain.chain import Chain
from gradcon_ext.chain.choice import EngineChoice
from gradcon_ext.chain.engine import Engine
from gradcon_ext.chain.tracing import trace_chain
from gradcon_ext.data.image_dataset import ImageDataset, stored_batches
from gradcon_ext.data.image_streams import is_stream, stream_batches
from gradcon_ext.data.images import Images, as_image_dataset, check_batch, preparation_of, takes_features
from gradcon_ext.data.pixels import like_weight
from gradcon_ext.detector.balance import Balance
from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.facts import scores_tiles
from gradcon_ext.detector.parts import PAPERS, part_of
from gradcon_ext.detector.verification import NotComparedError, SampleResults, check_samples
from gradcon_ext.losses import Loss, SampleLosses, loss_of
from gradcon_ext.ops import score_autoencoder
from gradcon_ext.scoring.explanation import Explanation, explain, explain_batches
from gradcon_ext.storage.pixels import channels_last

_Computed: TypeAlias = tuple[SampleLosses, Tensor, Tensor]
"""Losses, cosines (N, L), and the code (N, D), or (N, 0) if it was not wanted."""


class Scores(NamedTuple):
    """Scores of N samples on the CPU, float32 where nothing else is said.

    Attributes:
        reconstruction: reconstruction loss, (N,).
        latent: latent loss, (N,); zeros where the model has none.
        cosine: alignment of each constrained layer's gradient with its reference, (N, L).
        anomaly: reconstruction + latent - alpha * mean over layers of the cosine, (N,). Higher is more anomalous.
        direction: how far the direction of the code leaves those of training, (N,); None without a balance.
        code: how far the code itself does, (N,); likewise.
        balanced: direction, code, gradient and reconstruction on one scale each, (N,); higher is more anomalous. None
            without a balance. See `gradcon_ext.detector.balance.Balance`.
        p_value: how rare a score as high is among normal images, float64 (N,); None without a calibration. See
            `gradcon_ext.detector.calibration.Calibration`.
        is_outlier: the verdict, true where the p-value is at most the stated false-alarm rate, (N,); likewise.
    """

    reconstruction: Tensor
    latent: Tensor
    cosine: Tensor
    anomaly: Tensor
    direction: Tensor | None = None
    code: Tensor | None = None
    balanced: Tensor | None = None
    p_value: Tensor | None = None
    is_outlier: Tensor | None = None

    @property
    def gradient(self) -> Tensor:
        """The gradient loss alone, minus the mean cosine, (N,). Higher is more anomalous (paper, section 6)."""
        return -self.cosine.mean(1)


def joined(parts: Sequence[Scores]) -> Scores:
    """Return the scores of several batches, at least one, as those of all their images."""
    if len(parts) == 1:
        return parts[0]
    columns: Any = map(_concatenated, zip(*parts, strict=True))
    return Scores(*columns)


class Scorer:
    """Scores images with a trained autoencoder and the references of its constrained layers.

    A model that is a chain of common layers (see `gradcon_ext.chain.chain.LayerKind`), with one of the losses of
    `gradcon_ext.losses`, is scored as one fused program; any other is run as it is. Which it is is found out at the
    first images of each shape, and again whenever the model's structure, hooks or loss have changed; that costs
    milliseconds, and a further number of images in a batch as much. Two of the first images are then also scored by
    plain automatic differentiation on a copy of the model. Where the two disagree, the model is run as it is.

    Attributes:
        engine: what scored the last images, and why; None before the first. `engine_for` tells it beforehand.

    Args:
        model: an autoencoder; it is run in eval mode and left in the mode it was in. Its weights are read at each
            call, and samples must not influence each other. One with `accepts = "features"` is given feature
            maps, whose values need not lie in [0, 1].
        references: the running means of the training gradients, by the names of the constrained weights.
        alpha: weight of the alignment in the anomaly score; 0.12 in the paper.
        loss: takes the model's output and the images, returns the losses of the samples. `model.loss` by default, or
            the squared error where the model has none.
        balance: what the balanced score is made with, by `gradcon_ext.balanced`; without it there is none.
        part: of the score, decides what is an outlier; one of `gradcon_ext.detector.parts.PARTS`.
        calibration: what p-values and verdicts are made with, by `gradcon_ext.calibrated`; without it there are none.
        preprocessing: facts about how image files become the model's input, as a detector has them.

    Raises:
        ValueError: no references, one that names no constrained weight or does not have its shape, a reference that
            is not finite, a negative alpha, or a part that was not calibrated.
    """

    def __init__(
        self,
        model: nn.Module,
        references: Mapping[str, Tensor],
        alpha: float = 0.12,
        loss: Loss | None = None,
        balance: Balance | None = None,
        part: str = PAPERS,
        calibration: Calibration | None = None,
        preprocessing: Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 <= alpha < float("inf"):
            raise ValueError(f"alpha must be a finite number of at least 0, got {alpha}")
        self.model = model
        self.alpha = alpha
        self.balance = balance
        self.part = part
        self.calibration = calibration
        self.preprocessing = dict(preprocessing or {})
        if calibration is not None:
            calibration.threshold(part)  # for its check of the part
        self._loss = loss
        self.references = dict(references)
        if not self.references:
            raise ValueError("expected the references of one or more weights, got none")
        for name, reference in self.references.items():
            _check_reference(name, reference, parameter_of(model, name))
        self.engine: Engine | None = None
        self._choice: EngineChoice | None = None

    @classmethod
    def load(cls, path: str | Path, *, model: nn.Module | None = None, device: str | torch.device = "cpu") -> Scorer:
        """Read a trained detector's file; see `Detector.load` for the errors and for `model`."""
        return cls.from_detector(Detector.load(path, model=model), device=device)

    @classmethod
    def from_detector(cls, detector: Detector, *, device: str | torch.device = "cpu") -> Scorer:
        """Score with a detector that was just trained or loaded.

        Of a detector of tiles these are scores of single tiles, by the paper's part and without a verdict, for its
        calibration is of images; `gradcon_ext.scorer_of` scores images with any detector.
        """
        of_tiles = scores_tiles(detector.preprocessing)
        return cls(
            detector.model.to(usable_device(device)),
            detector.references,
            detector.alpha,
            balance=detector.balance,
            part=PAPERS if of_tiles else detector.part,
            calibration=None if of_tiles else detector.calibration,
            preprocessing=detector.preprocessing,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the engine out, which is about this model and not about a copy of it."""
        return {**vars(self), "engine": None, "_choice": None}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the constrained weights, in the order of the columns of `Scores.cosine`."""
        return tuple(self.references)

    @property
    def loss(self) -> Loss:
        """The loss of the samples: the one that was given, or else the model's own."""
        return self._loss or loss_of(self.model)

    def engine_for(self, image_shape: tuple[int, ...]) -> Engine:
        """Tell what scores images of shape (C, H, W), and why. The first batch may show that it must be the other."""
        return self._present_choice().for_shape(tuple(image_shape))

    def score(self, images: Images, batch_size: int = 512, key: str | None = None) -> Scores:
        """Score every image.

        Args:
            images: a tensor or numpy array (N, C, H, W) or (N, H, W), uint8 (0 to 255) or floating point (0 to 1), any
                dataset of images, a folder, images of Pillow, a DataLoader or another iterable; see `as_image_dataset`.
                All but arrays are read one batch at a time, so memory does not grow with N beyond the scores
                themselves. Files and Pillow's images are prepared as the detector's preprocessing says.
            batch_size: images in memory at a time.
            key: of the image, where the images are in dictionaries; by default that of their only image.

        Raises:
            TypeError: a dtype or container of another kind.
            OSError: a path that leads nowhere.
            ValueError: no images, wrong shapes, or pixels that are NaN, infinite or out of range.
        """
        # What the data set has checked is not checked again.
        return joined([self._score_batch(batch) for batch in self._checked_batches(images, batch_size, key)])

    def score_batches(self, image_batches: Iterable[Tensor]) -> Iterator[Scores]:
        """Score batches (n, C, H, W) as they come, for streams whose scores are not all kept.

        Args:
            image_batches: floating point in [0, 1], or uint8 from 0 to 255.

        Raises:
            TypeError: a batch that is no tensor, or of another dtype.
            ValueError: no images, a wrong shape, or pixels that are NaN, infinite or out of range; images are counted
                from the first batch on.
        """
        first = 0
        for images in image_batches:
            check_batch(images, first, takes_features(self.model))
            first += len(images)
            yield self._score_batch(images)

    def codes_and_scores(
        self, images: Any, batch_size: int = 512, order: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Scores]]:
        """Yield the codes (n, D) of images, batch by batch, with their scores; what it raises is as above.

        The code is what the first constrained layer is given: in an autoencoder, the encoder's output.

        Args:
            images: as above.
            batch_size: likewise.
            order: int64 indices (n,) of the images; all of them by default.
        """
        for batch in stored_batches(self._as_dataset(images), batch_size, order):
            losses, cosine, code = self._computed(batch, with_code=True)
            yield code, self._scores_of(losses, cosine, code)

    def explain(self, images: Any, batch_size: int = 64) -> Explanation:
        """Tell where in images their anomaly scores come from; see `gradcon_ext.scoring.explanation.explain`."""
        return explain(self, images, batch_size)

    def maps(self, images: Any, batch_size: int = 64) -> Iterator[dict[str, Tensor]]:
        """Yield the maps of images batch by batch, those of `Explanation.maps`, for streams that are not all kept."""
        return (explanation.maps for explanation in explain_batches(self, images, batch_size))

    def _checked_batches(self, images: Images, batch_size: int, key: str | None) -> Iterator[Tensor]:
        if is_stream(images):
            preparation = preparation_of(self.model, self.preprocessing)
            for batch in stream_batches(images, batch_size, takes_features(self.model), key, preparation):
                _refuse_channels_last(tuple(batch.shape[1:]), self.model)
                yield batch
        else:
            dataset = self._as_dataset(images, key)
            _refuse_channels_last(dataset.shape, self.model)
            yield from stored_batches(dataset, batch_size)

    def _as_dataset(self, images: Images, key: str | None = None) -> ImageDataset:
        return as_image_dataset(
            images,
            features=takes_features(self.model),
            key=key,
            preparation=preparation_of(self.model, self.preprocessing),
        )

    def _present_choice(self) -> EngineChoice:
        settings = (self.loss, self.layers)
        if self._choice is None or not self._choice.is_current(self.model, settings):
            self._choice = EngineChoice(self.model, settings, partial(_chain, self.model, *settings))
        return self._choice

    def _score_batch(self, images: Tensor) -> Scores:
        losses, cosine, code = self._computed(images, with_code=self.balance is not None)
        return self._scores_of(losses, cosine, code)

    def _computed(self, images: Tensor, with_code: bool) -> _Computed:
        choice, shape = self._present_choice(), tuple(images.shape[1:])
        engine = choice.for_batch(shape, len(images))
        if engine.chain is not None and len(images) and not choice.is_verified(shape):
            engine = self._verify(choice, engine, engine.chain, images)
        chain = engine.chain
        if chain is None:
            computed = self._run_model(images, with_code)
        else:
            computed = self._run_chain(chain, choice.parameters(chain), images, with_code)
        self.engine = engine
        return computed

    def _scores_of(self, losses: SampleLosses, cosine: Tensor, code: Tensor) -> Scores:
        columns = [losses.reconstruction, losses.latent, cosine, losses.total - self.alpha * cosine.mean(1)]
        if self.balance is not None:
            parts = self.balance.to(code).code_parts(code)
            columns += [*parts, self.balance.combined(*parts, -cosine.mean(1), losses.total)]
        scores = Scores(*(column.detach().to("cpu", torch.float32) for column in columns))
        return scores if self.calibration is None else judged(scores, self.part, self.calibration)

    def _verify(self, choice: EngineChoice, engine: Engine, chain: Chain, images: Tensor) -> Engine:
        """Compare the fused engine with automatic differentiation on the first and the last of some images."""
        shape = tuple(images.shape[1:])
        images = images[:: max(len(images) - 1, 1)]  # both ends of them, where they are
        losses, cosine, _ = self._run_chain(chain, choice.parameters(chain), images, with_code=False)
        pixels = self._pixels(images)
        references = {name: reference.to(pixels) for name, reference in self.references.items()}
        computed = SampleResults(losses.reconstruction, losses.latent, cosine)
        try:
            reason = check_samples(self.model, self.loss, references, pixels, computed)
        except NotComparedError as not_now:  # The next images are another try.
            return Engine("any model", str(not_now))
        if reason is not None:
            return choice.refuse(shape, reason)
        choice.verified(shape)
        return engine

    def _pixels(self, images: Tensor) -> Tensor:
        """Images in the dtype and on the device of the weights, from 0 to 1."""
        return like_weight(images, next(self.model.parameters()))

    def _run_chain(self, chain: Chain, parameters: list[Tensor], images: Tensor, with_code: bool) -> _Computed:
        pixels = images.to(parameters[0].device) if images.dtype == torch.uint8 else images.to(parameters[0])
        references = [reference.to(parameters[0]) for reference in self.references.values()]
        reconstruction, latent, cosine, *code = score_autoencoder(
            pixels, parameters, references, chain.encoded, with_code
        )
        return SampleLosses(reconstruction, latent), cosine, code[0] if with_code else cosine[:, :0]

    def _run_model(self, images: Tensor, with_code: bool) -> _Computed:
        pixels, sample_loss = self._pixels(images), self.loss

        def loss(output: Any, images: Tensor) -> tuple[Tensor, SampleLosses]:
            losses = sample_loss(output, images)
            return losses.total, losses

        alignment = align_with_aux(self.model, loss, pixels, self.references, in_eval_mode=True)
        losses = SampleLosses(*(torch.cat(parts) for parts in zip(*alignment.aux, strict=True)))
        cosine = torch.stack([alignment.cosine[name] for name in self.references], 1)
        return losses, cosine, code_of(self.model, self.layers, pixels) if with_code else cosine[:, :0]


def _chain(model: nn.Module, loss: Loss, layers: tuple[str, ...], image_shape: tuple[int, ...], samples: int) -> Chain:
    return trace_chain(model, layers, loss, image_shape, samples=samples)


def _refuse_channels_last(shape: tuple[int, ...], model: nn.Module) -> None:
    """Raise ValueError for images (H, W, C), as far as the model says how many channels it takes."""
    channels = (getattr(model, "architecture", None) or {}).get("channels")
    hint = "" if channels is None else channels_last(shape, (channels,))
    if hint:
        raise ValueError(f"images have shape (C, H, W) = {shape}; the model takes {channels} channels{hint}")


def judged(scores: Scores, part: str, calibration: Calibration) -> Scores:
    """Return scores with p-values and verdicts by one of their parts."""
    p_value = torch.from_numpy(calibration.p_values(part, part_of(scores, part).numpy()))
    return scores._replace(p_value=p_value, is_outlier=p_value <= calibration.rate)


def _concatenated(column: Sequence[Tensor | None]) -> Tensor | None:
    present = [part for part in column if part is not None]
    return torch.cat(present) if present else None


def _check_reference(name: str, reference: Tensor, weight: Tensor) -> None:
    if reference.shape != weight.shape:
        raise ValueError(
            f"the reference of {name} has shape {tuple(reference.shape)}; its weight has {tuple(weight.shape)}"
        )
    if not reference.isfinite().all():
        raise ValueError(f"the reference of {name} holds values that are NaN or infinite")
    check_holds(name, reference, reference.to(weight.dtype))
