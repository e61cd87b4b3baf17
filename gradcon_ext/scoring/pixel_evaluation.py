"""How well a detector's maps find what is anomalous in images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional

from gradcon_ext.data.masks import read_mask
from gradcon_ext.data.reading import FileImages, ImageFile
from gradcon_ext.data.reading.sizes import size_of
from gradcon_ext.scoring.explanation import HasMaps
from gradcon_ext.scoring.pixel_metrics import PixelMetrics

_MOST_PROBLEMS = 100
"""That are written down."""


@dataclass(frozen=True)
class PixelEvaluation:
    """Metrics of each map, by their names.

    Attributes:
        auroc: area under the ROC curve of all pixels; 0.5 is chance.
        pro: per-region overlap up to a false-positive rate of 30 %; 0.15 is chance.
        images: how many were compared.
        without_a_mark: how many were left out, because their mask marks nothing.
        left_out: why further ones were, a sentence each, which begins with the file that cannot be used.
        incomparable: why there are no metrics; None where there are some.
    """

    auroc: dict[str, float]
    pro: dict[str, float]
    images: int
    without_a_mark: int
    left_out: list[str] = field(default_factory=list)
    incomparable: str | None = None

    def table(self) -> str:
        """The metrics as lines of plain text."""
        width = max(map(len, self.auroc))
        lines = [f"{name:{width}}  {self.auroc[name]:11.3f}  {self.pro[name]:.3f}" for name in self.auroc]
        unmarked = f"; {self.without_a_mark} left out, whose masks mark nothing" if self.without_a_mark else ""
        unusable = f"; {len(self.left_out)} left out, whose masks cannot be used" if self.left_out else ""
        heading = f"{'map':{width}}  pixel AUROC  PRO"
        return "\n".join([heading, *lines, f"{self.images} images with masks, or of inliers{unmarked}{unusable}"])

    def as_json(self) -> dict[str, Any]:
        """The metrics as JSON can hold them, to six decimals, and why the first images were left out."""
        rounded = {
            metric: {name: round(value, 6) for name, value in getattr(self, metric).items()}
            for metric in ("auroc", "pro")
        }
        return {**asdict(self), **rounded, "left_out": len(self.left_out), "problems": self.left_out[:_MOST_PROBLEMS]}


def evaluate_pixels(
    scorer: HasMaps, images: FileImages, masks: Sequence[Path | None], batch_size: int = 64
) -> PixelEvaluation:
    """Compare maps with masks, at the size of each file; maps are brought to it (bilinear).

    Args:
        scorer: a trained one.
        images: N files.
        masks: of each, the file of its mask; none of an inlier, which is normal everywhere.
        batch_size: images in memory at a time.

    Images whose mask cannot be used, or whose size cannot be told, are left out.

    Raises:
        ValueError: an image cannot be read.
    """
    metrics: dict[str, PixelMetrics] = {}
    without_a_mark = done = 0
    left_out: list[str] = []
    for maps in scorer.maps(images, batch_size):
        for row in range(len(next(iter(maps.values())))):
            file, mask_file = images.files[done], masks[done]
            done += 1
            try:
                mask = _mask(file, mask_file, images.preparation.max_pixels)
            except ValueError as error:
                left_out.append(str(error))
                continue
            if mask_file is not None and not mask.any():
                without_a_mark += 1
                continue
            for name, values in maps.items():
                metrics.setdefault(name, PixelMetrics()).add(_resized(values[row], mask.shape), mask)
    counts = (done - without_a_mark - len(left_out), without_a_mark, left_out)
    try:
        auroc = {name: metric.auroc() for name, metric in metrics.items()}
        pro = {name: metric.pro() for name, metric in metrics.items()}
    except ValueError as error:
        return PixelEvaluation({}, {}, *counts, incomparable=str(error))
    return PixelEvaluation(auroc, pro, *counts, incomparable=None if metrics else "all images are left out")


def _mask(image: ImageFile, mask: Path | None, max_pixels: int | None) -> npt.NDArray[np.bool_]:
    """The mask of an image, (H, W) as its file; of one without a mask all of it is normal."""
    size = size_of(image, max_pixels)
    return np.zeros(size, np.bool_) if mask is None else read_mask(mask, size)


def _resized(values: Tensor, size: tuple[int, ...]) -> npt.NDArray[np.float32]:
    resized = functional.interpolate(values[None, None], size, mode="bilinear", align_corners=False)
    return np.asarray(resized[0, 0])
