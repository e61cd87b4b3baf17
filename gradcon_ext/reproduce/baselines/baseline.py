"""One signature for all baselines, and the list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.reproduce.baselines import (
    anogan,
    autoregressive_novelty,
    dae,
    dsvdd,
    gan,
    gpnd,
    kde,
    ocgan,
    ocsvm,
    pixelcnn,
)
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints
from gradcon_ext.version import __version__

AnomalyScores: TypeAlias = npt.NDArray[np.float64]
Method: TypeAlias = Callable[[ImageArray, ImageArray, ImageArray, int, int, Checkpoints], AnomalyScores]


@dataclass(frozen=True)
class Baseline:
    """A method that learns from inliers and scores images.

    Attributes:
        name: as in the paper's tables.
        description: in a line.
        method: what `score` calls, with one argument in the place of `folder` and `progress`.
        trained: whether it is trained in epochs; the others ignore their number.
    """

    name: str
    description: str
    method: Method
    trained: bool

    def score(
        self,
        train: ImageArray,
        validation: ImageArray,
        test: ImageArray,
        seed: int,
        epochs: int,
        folder: Path | None = None,
        progress: bool = False,
    ) -> AnomalyScores:
        """Learn from `train` and score `test`; the same arguments give the same scores, whatever `folder` holds.

        Args:
            train: inliers to learn from, uint8 (N, C, H, W).
            validation: inliers that are held out, uint8 (V, C, H, W); only a method that chooses an epoch reads them.
            test: images to score, uint8 (M, C, H, W); what is learned does not depend on them.
            seed: of all that is random, not negative. torch's global random numbers are left alone.
            epochs: passes over the training images.
            folder: where trainings keep how far they are after each epoch, so that a call that was interrupted goes on
                when it is made again; made if need be. What is of other arguments there is replaced. None keeps
                nothing.
            progress: whether to show a bar of the epochs.

        Returns:
            One score an image, (M,); higher is more anomalous.

        Raises:
            TypeError: images of another dtype than uint8.
            ValueError: images of another or of different shapes, none at all or too small for the method, an argument
                out of range, or a damaged file in `folder`.
            FloatingPointError: a training has diverged.
        """
        for name, images in (("train", train), ("validation", validation), ("test", test)):
            if images.dtype != np.uint8:
                raise TypeError(f"{name} images have dtype {images.dtype}; expected uint8")
            if images.ndim != 4 or 0 in images.shape:
                raise ValueError(f"{name} images have shape {images.shape}; expected (N, C, H, W), none of them 0")
            if images.shape[1:] != train.shape[1:]:
                raise ValueError(f"{name} images have shape {images.shape}; those of train have {train.shape}")
        for name, value, least in (("seed", seed, 0), ("epochs", epochs, 1)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        settings: dict[str, Any] = {"version": __version__, "seed": seed, "epochs": epochs}
        if folder is not None:
            settings["images"] = _digest(train, validation, test)
        checkpoints = Checkpoints(self.name, folder, settings, progress)
        return self.method(train, validation, test, seed, epochs, checkpoints)


def _digest(*images: ImageArray) -> str:
    """SHA-256 of the pixels and shapes of all images."""
    digest = sha256()
    for some in images:
        digest.update(repr(some.shape).encode())
        digest.update(np.ascontiguousarray(some).data)
    return digest.hexdigest()


BASELINES = {
    "ocsvm": Baseline("OCSVM", "one-class support vector machine", ocsvm.score, trained=False),
    "kde": Baseline("KDE", "kernel density estimate", kde.score, trained=False),
    "dae": Baseline("DAE", "deep autoencoder", dae.score, trained=True),
    "pixelcnn": Baseline("PixelCNN", "autoregressive density of the pixels", pixelcnn.score, trained=True),
    "gan": Baseline("GAN", "discriminator of a generative adversarial network", gan.score, trained=True),
    "and": Baseline(
        "AND", "autoregressive density of an autoencoder's codes", autoregressive_novelty.score, trained=True
    ),
    "anogan": Baseline("AnoGAN", "search for the nearest image of a generator", anogan.score, trained=True),
    "dsvdd": Baseline("DSVDD", "deep support vector data description", dsvdd.score, trained=True),
    "ocgan": Baseline("OCGAN", "one-class GAN with a constrained latent space", ocgan.score, trained=True),
    "gpnd": Baseline("GPND", "generative probabilistic novelty detection", gpnd.score, trained=True),
}
