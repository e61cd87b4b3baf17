"""How well a detector's maps find what is anomalous in images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional

from gradcon_ext.data.masks import read_mask
from gradcon_ext.data.reading import FileImages
from gradcon_ext.data.reading.sizes import size_of
from gradcon_ext.scoring.explanation import HasMaps
from gradcon_ext.scoring.pixel_metrics import PixelMetrics


@dataclass(frozen=True)
class PixelEvaluation:
    """Metrics of each map, by their names.

    Attributes:
        auroc: area under the ROC curve of all pixels; 0.5 is chance.
        pro: per-region overlap up to a false-positive rate of 30 %; 0.15 is chance.
        images: how many were compared.
        without_a_mark: how many were left out, because their mask marks nothing.
    """

    auroc: dict[str, float]
    pro: dict[str, float]
    images: int
    without_a_mark: int

    def table(self) -> str:
        """The metrics as lines of plain text."""
        width = max(map(len, self.auroc))
        lines = [f"{name:{width}}  {self.auroc[name]:11.3f}  {self.pro[name]:.3f}" for name in self.auroc]
        left_out = f"; {self.without_a_mark} left out, whose masks mark nothing" if self.without_a_mark else ""
        heading = f"{'map':{width}}  pixel AUROC  PRO"
        return "\n".join([heading, *lines, f"{self.images} images with masks, or of inliers{left_out}"])

    def as_json(self) -> dict[str, Any]:
        """The metrics as JSON can hold them, to six decimals."""
        rounded = {
            metric: {name: round(value, 6) for name, value in getattr(self, metric).items()}
            for metric in ("auroc", "pro")
        }
        return {**asdict(self), **rounded}


def evaluate_pixels(
    scorer: HasMaps, images: FileImages, masks: Sequence[Path | None], batch_size: int = 64
) -> PixelEvaluation:
    """Compare maps with masks, at the size of each file; maps are brought to it (bilinear).

    Args:
        scorer: a trained one.
        images: N files.
        masks: of each, the file of its mask; none of an inlier, which is normal everywhere.
        batch_size: images in memory at a time.

    Raises:
        ValueError: a file cannot be read, a mask has another size than its image, or the pixels are of one kind.
    """
    metrics: dict[str, PixelMetrics] = {}
    without_a_mark = done = 0
    for maps in scorer.maps(images, batch_size):
        for row in range(len(next(iter(maps.values())))):
            size, mask_file = size_of(images.files[done], images.preparation.max_pixels), masks[done]
            done += 1
            mask = np.zeros(size, np.bool_) if mask_file is None else read_mask(mask_file, size)
            if mask_file is not None and not mask.any():
                without_a_mark += 1
                continue
            for name, values in maps.items():
                metrics.setdefault(name, PixelMetrics()).add(_resized(values[row], size), mask)
    return PixelEvaluation(
        {name: metric.auroc() for name, metric in metrics.items()},
        {name: metric.pro() for name, metric in metrics.items()},
        done - without_a_mark,
        without_a_mark,
    )


def _resized(values: Tensor, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    resized = functional.interpolate(values[None, None], size, mode="bilinear", align_corners=False)
    return np.asarray(resized[0, 0])
