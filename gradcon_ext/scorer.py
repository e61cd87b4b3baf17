"""Anomaly scores of images, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradcon_ext.alignment import align_with_aux, parameter_of
from gradcon_ext.chain import Chain, NotAChain
from gradcon_ext.detector import Detector
from gradcon_ext.device import usable_device
from gradcon_ext.engine import Engine
from gradcon_ext.images import as_image_dataset, stored_batches
from gradcon_ext.losses import Loss, SampleLosses, loss_of
from gradcon_ext.ops import score_autoencoder
from gradcon_ext.tracing import parameters_of, trace_chain


class Scores(NamedTuple):
    """Scores of N samples on the CPU, float32.

    Attributes:
        reconstruction: reconstruction loss, (N,).
        latent: latent loss, (N,); zeros where the model has none.
        cosine: alignment of each constrained layer's gradient with its reference, (N, L).
        anomaly: reconstruction + latent - alpha * mean over layers of the cosine, (N,). Higher is more anomalous.
    """

    reconstruction: Tensor
    latent: Tensor
    cosine: Tensor
    anomaly: Tensor

    @property
    def gradient(self) -> Tensor:
        """The gradient loss alone, minus the mean cosine, (N,). Higher is more anomalous (paper, section 6)."""
        return -self.cosine.mean(1)


class Scorer:
    """Scores images with a trained autoencoder and the references of its constrained layers.

    A model that is a chain of common layers (see `gradcon_ext.chain.Kind`), with one of the losses of
    `gradcon_ext.losses`, is scored as one fused program; any other is run as it is. Which it is is found out once for
    each shape of images: a model whose layers are changed later needs a new scorer, one whose weights are does not.

    Attributes:
        engine: what scored the last images, and why; None before the first. `engine_for` tells it beforehand.

    Args:
        model: an autoencoder; it is run in eval mode and left in the mode it was in. Its weights are read at each
            call, and samples must not influence each other.
        references: the running means of the training gradients, by the names of the constrained weights.
        alpha: weight of the alignment in the anomaly score; 0.12 in the paper.
        loss: takes the model's output and the images, returns the losses of the samples. `model.loss` by default, or
            the squared error where the model has none.

    Raises:
        ValueError: no references, one that names no constrained weight or does not have its shape, a reference that
            is not finite, or a negative alpha.
    """

    def __init__(
        self,
        model: nn.Module,
        references: Mapping[str, Tensor],
        alpha: float = 0.12,
        loss: Loss | None = None,
    ) -> None:
        if not 0 <= alpha < float("inf"):
            raise ValueError(f"alpha must be a finite number of at least 0, got {alpha}")
        self.model = model
        self.alpha = alpha
        self.loss = loss or loss_of(model)
        self.references = dict(references)
        if not self.references:
            raise ValueError("expected the references of one or more weights, got none")
        for name, reference in self.references.items():
            _check_reference(name, reference, parameter_of(model, name))
        self.engine: Engine | None = None
        self._engines: dict[tuple[int, ...], Engine] = {}

    @classmethod
    def load(cls, path: str | Path, *, model: nn.Module | None = None, device: str | torch.device = "cpu") -> Scorer:
        """Read a trained detector's file; see `Detector.load` for the errors and for `model`."""
        return cls.from_detector(Detector.load(path, model=model), device=device)

    @classmethod
    def from_detector(cls, detector: Detector, *, device: str | torch.device = "cpu") -> Scorer:
        """Score with a detector that was just trained or loaded."""
        return cls(detector.model.to(usable_device(device)), detector.references, detector.alpha)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the constrained weights, in the order of the columns of `Scores.cosine`."""
        return tuple(self.references)

    def engine_for(self, image_shape: tuple[int, ...]) -> Engine:
        """Tell what scores images of shape (C, H, W), and why."""
        if image_shape not in self._engines:
            self._engines[image_shape] = self._choose_engine(image_shape)
        return self._engines[image_shape]

    def score(self, images: Any, batch_size: int = 512) -> Scores:
        """Score every image.

        Args:
            images: a tensor or numpy array (N, C, H, W) or (N, H, W), uint8 (0 to 255) or floating point (0 to 1), or
                any dataset of images. A dataset is read one batch at a time, so memory does not grow with N beyond
                the scores themselves.
            batch_size: images in memory at a time.

        Raises:
            TypeError: a dtype or container of another kind.
            ValueError: no images, wrong shapes, or pixels that are NaN, infinite or out of range.
        """
        dataset = as_image_dataset(images)
        parts = list(self.score_batches(stored_batches(dataset, batch_size)))
        if len(parts) == 1:
            return parts[0]
        return Scores(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

    def score_batches(self, image_batches: Iterable[Tensor]) -> Iterator[Scores]:
        """Score batches (n, C, H, W) as they come, for streams whose scores are not all kept.

        Args:
            image_batches: floating point in [0, 1], or uint8 from 0 to 255.
        """
        for images in image_batches:
            yield self._score_batch(images)

    def _choose_engine(self, image_shape: tuple[int, ...]) -> Engine:
        try:
            chain = trace_chain(self.model, self.layers, self.loss, image_shape)
        except NotAChain as reason:
            return Engine("any model", str(reason))
        return Engine("fused chain", "the model is a chain of layers that it has", chain)

    def _score_batch(self, images: Tensor) -> Scores:
        self.engine = self.engine_for(tuple(images.shape[1:]))
        chain = self.engine.chain
        losses, cosine = self._run_model(images) if chain is None else self._run_chain(chain, images)
        anomaly = losses.total - self.alpha * cosine.mean(1)
        columns = (losses.reconstruction.detach(), losses.latent.detach(), cosine.detach(), anomaly.detach())
        return Scores(*(column.to("cpu", torch.float32) for column in columns))

    def _run_chain(self, chain: Chain, images: Tensor) -> tuple[SampleLosses, Tensor]:
        parameters = parameters_of(chain, self.model)
        pixels = images.to(parameters[0].device) if images.dtype == torch.uint8 else images.to(parameters[0])
        references = [reference.to(parameters[0]) for reference in self.references.values()]
        reconstruction, latent, cosine = score_autoencoder(
            pixels, parameters, references, chain.program, chain.constants, chain.loss
        )
        return SampleLosses(reconstruction, latent), cosine

    def _run_model(self, images: Tensor) -> tuple[SampleLosses, Tensor]:
        weight = next(self.model.parameters())
        pixels = images.to(weight) / 255 if images.dtype == torch.uint8 else images.to(weight)

        def loss(output: Any, images: Tensor) -> tuple[Tensor, SampleLosses]:
            losses = self.loss(output, images)
            return losses.total, losses

        with _eval_mode(self.model):
            alignment = align_with_aux(self.model, loss, pixels, self.references)
        losses = SampleLosses(*(torch.cat(parts) for parts in zip(*alignment.aux, strict=True)))
        return losses, torch.stack([alignment.cosine[name] for name in self.references], 1)


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _check_reference(name: str, reference: Tensor, weight: Tensor) -> None:
    if reference.shape != weight.shape:
        raise ValueError(
            f"the reference of {name} has shape {tuple(reference.shape)}; its weight has {tuple(weight.shape)}"
        )
    if not reference.isfinite().all():
        raise ValueError(f"the reference of {name} holds values that are NaN or infinite")
