"""Scores of images where there is no torch: numpy, safetensors and one compiled module are all that this imports.

    from gradcon_ext.runtime import Scorer

    scores = Scorer.load("detector.safetensors").score(images)

`GRADCON_RUNTIME=1 pip install .` installs no more than this needs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradcon_ext._install.runtime import load_runtime
from gradcon_ext.chain.chain import Chain
from gradcon_ext.detector.balance import Balance
from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.parts import PAPERS, part_of
from gradcon_ext.detector.stored_chain import StoredChain, read_stored_chain
from gradcon_ext.storage.pixels import FEATURE_VALUES, channels_last, check_layout, unfit_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Float32 = NDArray[np.float32]

__all__ = ["Scorer", "Scores"]

_runtime = load_runtime()
_COMPILED = {"float32": _runtime.ChainScorerFloat32, "float64": _runtime.ChainScorerFloat64}


class Scores(NamedTuple):
    """Scores of N samples, float32 where nothing else is said.

    Attributes:
        reconstruction: reconstruction loss, (N,).
        latent: latent loss, (N,); zeros where the model has none.
        cosine: alignment of each constrained layer's gradient with its reference, (N, L).
        anomaly: reconstruction + latent - alpha * mean over layers of the cosine, (N,). Higher is more anomalous.
        direction: how far the direction of the code leaves those of training, (N,); None without a balance.
        code: how far the code itself does, (N,); likewise.
        balanced: direction, code, gradient and reconstruction on one scale each, (N,); None without a balance. See
            `gradcon_ext.detector.balance.Balance`.
        p_value: how rare a score as high is among normal images, float64 (N,); None without a calibration. See
            `gradcon_ext.detector.calibration.Calibration`.
        is_outlier: the verdict, true where the p-value is at most the stated false-alarm rate, (N,); likewise.
    """

    reconstruction: Float32
    latent: Float32
    cosine: Float32
    anomaly: Float32
    direction: Float32 | None = None
    code: Float32 | None = None
    balanced: Float32 | None = None
    p_value: Array | None = None
    is_outlier: Array | None = None

    @property
    def gradient(self) -> Float32:
        """The gradient loss alone, minus the mean cosine, (N,). Higher is more anomalous."""
        gradient: Float32 = -self.cosine.mean(1)
        return gradient


class Scorer:
    """Scores images with a trained autoencoder, as `gradcon_ext.Scorer` does; several threads may use one at once.

    Args:
        chain: the autoencoder.
        parameters: of its layers, all float32 or all float64; they are kept and must not be changed.
        references: the running means of the training gradients, in the order of `chain.references`; likewise.
        alpha: weight of the alignment in the anomaly score.
        balance: what the balanced score is made with; without it there is none.
        part: of the score, decides what is an outlier; one of `gradcon_ext.detector.parts.PARTS`.
        calibration: what p-values and verdicts are made with; without it there are none.
        features: whether images are feature maps, whose values need not lie in [0, 1].
        threads: how many threads share the work of a call; by default as many as there are processors to run on. The
            scores are the same to the bit whatever the number.

    Raises:
        ValueError: parameters or references that do not fit the chain, or are of other dtypes; a reference that is
            not finite; or a number of threads that is not from 1 to 1024.
        TypeError: threads are no integer.
    """

    def __init__(
        self,
        chain: Chain,
        parameters: Sequence[Array],
        references: Sequence[Array],
        alpha: float = 0.12,
        threads: int | None = None,
        balance: Balance | None = None,
        part: str = PAPERS,
        calibration: Calibration | None = None,
        features: bool = False,
    ) -> None:
        self.image_shape = chain.image_shape
        self.layers = chain.references
        self.alpha = alpha
        self.balance = None if balance is None else balance.map(lambda array: array.astype(np.float64))
        self.part = part
        self.calibration = calibration
        if calibration is not None:
            calibration.threshold(part)  # for its check of the part
        self.features = features
        self.threads = min(len(os.sched_getaffinity(0)), _runtime.most_threads) if threads is None else threads
        _check_threads(self.threads)
        self._dtype = _common_dtype([*parameters, *references])
        for name, reference in zip(chain.references, references, strict=True):
            if not np.isfinite(reference).all():
                raise ValueError(f"the reference of {name} holds values that are NaN or infinite")
        self._compiled = _COMPILED[self._dtype.name](
            chain.image_shape,
            *chain.encoded,
            [np.ascontiguousarray(parameter) for parameter in parameters],
            [np.ascontiguousarray(reference) for reference in references],
            self.threads,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], threads: int | None = None) -> Scorer:
        """Read a detector's file, the one that `gradcon_ext.Scorer.load` reads.

        Of a detector of tiles it scores single tiles, by the paper's part and without a verdict, as that does.

        Args:
            path: the file, or the folder of its run.
            threads: as above.

        Raises:
            FileNotFoundError: there is no such file or folder, or no detector in it.
            ValueError: the file is damaged, truncated, not a detector or of another version; it holds no chain of
                layers, but another model that only torch can run; or a number of threads as above.
        """
        if threads is not None:
            _check_threads(threads)
        file, stored = read_stored_chain(path)
        try:
            return cls.from_stored(stored, threads)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error

    @classmethod
    def from_stored(cls, stored: StoredChain, threads: int | None = None) -> Scorer:
        """Make a scorer of what `read_stored_chain` has read; arguments and errors are as above."""
        return cls(
            stored.chain,
            stored.parameters,
            stored.references,
            stored.alpha,
            threads,
            stored.balance,
            stored.part,
            stored.calibration,
            stored.takes_features,
        )

    def score(self, images: Array, batch_size: int = 512) -> Scores:
        """Score every image.

        Args:
            images: (N, C, H, W) or (N, H, W), uint8 (0 to 255) or floating point (0 to 1).
            batch_size: images that are converted at a time, so that memory does not grow with N beyond the scores.
                Contiguous images of uint8, or of the dtype of the parameters, are read where they are.

        Raises:
            TypeError: no array, or a dtype of another kind.
            ValueError: no images, wrong shapes, or pixels that are NaN, infinite or out of range.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        _check_array(images, self.image_shape)
        if images.dtype != np.uint8:
            for start in range(0, len(images), batch_size):
                _check_pixels(images[start : start + batch_size], start, self.features)
        scored = [self._score_batch(batch) for batch in self._batches(images, batch_size)]
        scores = Scores(*(np.concatenate(parts).astype(np.float32, copy=False) for parts in zip(*scored, strict=True)))
        if self.calibration is None:
            return scores
        p_value = self.calibration.p_values(self.part, part_of(scores, self.part))
        return scores._replace(p_value=p_value, is_outlier=p_value <= self.calibration.rate)

    def _score_batch(self, batch: Array) -> list[Array]:
        """The columns of `Scores`."""
        reconstruction, latent, cosine, code = self._compiled.score(batch, self.balance is not None)
        columns = [reconstruction, latent, cosine, reconstruction + latent - self.alpha * cosine.mean(1)]
        if self.balance is not None:
            parts = self.balance.code_parts(code.astype(np.float64))
            columns += [*parts, self.balance.combined(*parts, -cosine.mean(1), reconstruction + latent)]
        return columns

    def _batches(self, images: Array, batch_size: int) -> Iterator[Array]:
        """Contiguous images (n, C, H, W) of a dtype that the compiled scorer takes."""
        dtype = images.dtype if images.dtype == np.uint8 else self._dtype
        for start in range(0, len(images), batch_size):
            batch = np.asarray(images[start : start + batch_size], dtype, order="C")
            yield batch.reshape(-1, *self.image_shape)


def _check_threads(threads: int) -> None:
    if isinstance(threads, bool) or not isinstance(threads, int | np.integer):
        raise TypeError(f"threads must be an int, got {threads!r}")
    if not 1 <= threads <= _runtime.most_threads:
        raise ValueError(f"threads must be at least 1 and at most {_runtime.most_threads}, got {threads}")


def _common_dtype(arrays: Sequence[Array]) -> np.dtype[Any]:
    dtypes = {array.dtype.name for array in arrays}
    if len(dtypes) != 1 or not dtypes <= _COMPILED.keys():
        given = ", ".join(sorted(dtypes)) or "nothing"
        raise ValueError(f"expected parameters and references all of float32 or all of float64, got {given}")
    return np.dtype(dtypes.pop())


def _check_array(images: Array, shape: tuple[int, int, int]) -> None:
    """Check what can be told without a look at the pixels."""
    if not isinstance(images, np.ndarray):
        raise TypeError(f"images are a {type(images).__name__}; expected a numpy array")
    if images.dtype != np.uint8 and (images.dtype.kind != "f" or images.dtype.itemsize > 8):
        raise TypeError(f"images: dtype {images.dtype}; expected uint8 (0 to 255) or floating point (0 to 1)")
    check_layout(images.shape)
    given = (images.shape[1] if images.ndim == 4 else 1, *images.shape[-2:])
    if given != shape:
        raise ValueError(f"images have shape (C, H, W) = {given}; expected {shape}{channels_last(given, shape)}")


def _check_pixels(images: Array, first_index: int, features: bool) -> None:
    """Raise ValueError for the first of these images with a pixel that is not in [0, 1], or not finite."""
    least, most = FEATURE_VALUES if features else (0, 1)
    axes = tuple(range(1, images.ndim))
    # Rounded, as pixels are before they are scored; both are NaN where a pixel is.
    low, high = images.min(axes).astype(np.float32), images.max(axes).astype(np.float32)
    wrong = ~((low >= least) & (high <= most))
    if not wrong.any():
        return
    position = int(wrong.argmax())
    raise unfit_pixels(first_index + position, float(low[position]), float(high[position]))
