"""How well maps of images find what is anomalous in them: pixel AUROC, and PRO."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BITS = 20
"""Of a float32 as a sortable number, sign, exponent and 11 of the fraction."""
_SHIFT = 32 - _BITS
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.int8)

MOST_FALSE_POSITIVES = 0.3
"""The false-positive rate up to which PRO is integrated (Bergmann et al., "MVTec AD", 2019)."""


class PixelMetrics:
    """Counts scores of pixels as they come, image by image; memory does not grow with their number.

    Scores are told apart to one part in 2048 of their size; those that agree so far count as equal, as ties do in an
    AUROC.
    """

    def __init__(self) -> None:
        self._normal = np.zeros(1 << _BITS)
        self._anomalous = np.zeros(1 << _BITS)
        self._overlap = np.zeros(1 << _BITS)
        self._regions = 0

    def add(self, scores: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]) -> None:
        """Count one image.

        Args:
            scores: (H, W), higher is more anomalous.
            mask: (H, W), true where the image is anomalous; its connected parts, diagonals included, are regions.

        Raises:
            ValueError: the shapes differ, or a score is NaN or infinite.
        """
        from scipy.ndimage import label  # slow to import, and needed here alone

        if scores.shape != mask.shape or scores.ndim != 2:
            raise ValueError(f"scores have shape {scores.shape} and the mask {mask.shape}; expected one (H, W) of both")
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            single = scores.astype(np.float32)
        if not np.isfinite(single).all():
            raise ValueError("a pixel's score is NaN or infinite as a float32; expected finite ones")
        bins = _bins(single)
        regions, count = label(mask, structure=_EIGHT_NEIGHBOURS)
        sizes = np.bincount(regions[mask], minlength=count + 1)
        np.add.at(self._normal, bins[~mask], 1)
        np.add.at(self._anomalous, bins[mask], 1)
        np.add.at(self._overlap, bins[mask], 1 / sizes[regions[mask]])
        self._regions += count

    def auroc(self) -> float:
        """Area under the ROC curve of all pixels of all images.

        Raises:
            ValueError: no pixel is anomalous, or all are.
        """
        from sklearn.metrics import auc  # slow to import too

        return float(auc(*self._curve(self._anomalous, self._anomalous.sum())))

    def pro(self, most_false_positives: float = MOST_FALSE_POSITIVES) -> float:
        """Per-region overlap: the covered share of a region, averaged over regions, so that small ones count as large.

        It is integrated over the false-positive rate up to a limit and divided by it: 1 is perfect, half the limit
        chance.

        Raises:
            ValueError: no pixel is anomalous, or all are.
        """
        from sklearn.metrics import auc

        false_positives, overlap = self._curve(self._overlap, self._regions)
        end = int(np.searchsorted(false_positives, most_false_positives)) + 1  # no further than just behind the limit
        false_positives, overlap = false_positives[:end], overlap[:end]
        overlap[-1] = np.interp(most_false_positives, false_positives, overlap)
        false_positives[-1] = most_false_positives
        return float(auc(false_positives, overlap) / most_false_positives)

    def _curve(self, found: npt.NDArray[np.floating], whole: float) -> tuple[npt.NDArray[np.floating], ...]:
        """Rates of normal pixels, and of what is to be found, at or above each threshold, from the highest down."""
        normal = self._normal.sum()
        if normal == 0 or self._regions == 0:
            what = "no pixel is anomalous" if normal else "no pixel is normal"
            raise ValueError(f"{what}; pixel metrics compare anomalous pixels with normal ones")
        used = np.flatnonzero(self._normal + self._anomalous)[::-1]
        rates = ((self._normal, normal), (found, whole))
        return tuple(np.concatenate([[0.0], np.cumsum(counts[used]) / total]) for counts, total in rates)


def _bins(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Numbers that are in the order of the scores."""
    # + 0 turns minus zero into zero.
    bits = (scores + np.float32(0)).view(np.uint32)
    negative = bits >> 31 == 1
    ordered = np.where(negative, ~bits, bits | np.uint32(1 << 31))
    return ordered >> np.uint32(_SHIFT)
