"""Anomaly scores of images, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext._install.device import usable_device
from gradcon_ext.chain.engine import Engine
from gradcon_ext.data.image_dataset import stored_batches
from gradcon_ext.data.images import Images, check_batch, takes_features
from gradcon_ext.detector.balance import Balance
from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.facts import scores_tiles
from gradcon_ext.detector.parts import PAPERS
from gradcon_ext.losses import Loss, loss_of
from gradcon_ext.scoring.computation import Computation, Computed, check_references
from gradcon_ext.scoring.engines import Engines
from gradcon_ext.scoring.explanation import Explanation, explain, explain_batches
from gradcon_ext.scoring.inputs import batches_of, dataset_of
from gradcon_ext.scoring.scores import Scores, joined, judged

__all__ = ["Scorer", "Scores"]


class Scorer:
    """Scores images with a trained autoencoder and the references of its constrained layers.

    A model that is a chain of common layers (see `gradcon_ext.chain.chain.LayerKind`), with one of the losses of
    `gradcon_ext.losses`, is scored as one fused program; any other is run as it is. Which it is is found out at the
    first images of each shape, and again whenever the model's structure, hooks or loss have changed; that costs
    milliseconds, and a further number of images in a batch as much. Two of the first images are then also scored by
    plain automatic differentiation on a copy of the model. Where the two disagree, the model is run as it is.

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
        self.part = part
        self.calibration = calibration
        self.preprocessing = dict(preprocessing or {})
        if calibration is not None:
            calibration.threshold(part)  # for its check of the part
        self._loss = loss
        self.references = dict(references)
        check_references(model, self.references)
        self.balance = None if balance is None else balance.on(next(iter(self.references.values())).device)
        self._engines = Engines()

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
        """Leave out which engine it is, which is about this model and not about a copy of it."""
        return {**vars(self), "_engines": Engines()}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the constrained weights, in the order of the columns of `Scores.cosine`."""
        return tuple(self.references)

    @property
    def loss(self) -> Loss:
        """The loss of the samples: the one that was given, or else the model's own."""
        return self._loss or loss_of(self.model)

    @property
    def engine(self) -> Engine | None:
        """What scored the last images, and why; None before the first. `engine_for` tells it beforehand."""
        return self._engines.last

    def engine_for(self, image_shape: tuple[int, ...]) -> Engine:
        """Tell what scores images of shape (C, H, W), and why. The first batch may show that it must be the other."""
        return self._engines.for_shape(self._computation, tuple(image_shape))

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
        batches = batches_of(images, self.model, self.preprocessing, batch_size, key)
        return joined([self._score_batch(batch) for batch in batches])

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
        dataset = dataset_of(images, self.model, self.preprocessing)
        for batch in stored_batches(dataset, batch_size, order):
            computed = self._engines.compute(self._computation, batch, with_code=True)
            yield computed.code, self._scores_of(computed)

    def explain(self, images: Any, batch_size: int = 64) -> Explanation:
        """Tell where in images their anomaly scores come from; see `gradcon_ext.scoring.explanation.explain`."""
        return explain(self, images, batch_size)

    def maps(self, images: Any, batch_size: int = 64) -> Iterator[dict[str, Tensor]]:
        """Yield the maps of images batch by batch, those of `Explanation.maps`, for streams that are not all kept."""
        return (explanation.maps for explanation in explain_batches(self, images, batch_size))

    @property
    def _computation(self) -> Computation:
        return Computation(self.model, self.loss, self.references)

    def _score_batch(self, images: Tensor) -> Scores:
        return self._scores_of(self._engines.compute(self._computation, images, with_code=self.balance is not None))

    def _scores_of(self, computed: Computed) -> Scores:
        scores = computed.scores(self.alpha, self.balance)
        return scores if self.calibration is None else judged(scores, self.part, self.calibration)
