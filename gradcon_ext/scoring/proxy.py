"""Which part of a score to trust while there are no labelled defects: the one that notices synthetic damage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, sqrt

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gradcon_ext.challenges import CHALLENGES
from gradcon_ext.challenges.damage import damage, kinds_for
from gradcon_ext.data.images import Images, as_image_dataset
from gradcon_ext.data.labelled import ImageArray
from gradcon_ext.data.reading import FileImages
from gradcon_ext.detector.parts import PAPERS, losses_of
from gradcon_ext.scoring.image_scoring import ImageScorer
from gradcon_ext.scoring.scores import joined

MARGIN = 0.1
"""By how much the AUROC over synthetic damage of another part must be above that of the combination to decide instead.

Nearer than that the synthetic damage was seen to prefer a part that real outliers were noticed worse by, by up to 0.036
(results/README.md)."""

_MOST_IMAGES = 200
_MOST_PIXELS = 1 << 22
_COMBINATIONS = ("balanced", PAPERS)


@dataclass(frozen=True)
class Proxy:
    """How well each part of a score tells damaged images from the same images as they are.

    Attributes:
        auroc: by kind of damage, and of that by part.
        images: how many were damaged.
    """

    auroc: Mapping[str, Mapping[str, float]]
    images: int

    @property
    def mean(self) -> dict[str, float]:
        """Of each part, the mean over the kinds."""
        return _mean(list(self.auroc.values()))

    @property
    def part(self) -> str:
        """The part to trust: the combination, unless another one is ahead of it by more than is noise.

        The combination is the balanced score or, where there is none, the paper's.
        """
        mean = self.mean
        default = next(name for name in _COMBINATIONS if name in mean)
        best = max(mean, key=lambda name: mean[name])
        return best if mean[best] > mean[default] + self.margin else default

    @property
    def margin(self) -> float:
        """`MARGIN`, or of few images the standard deviation of an AUROC by chance, which then is larger."""
        return max(MARGIN, self._chance)

    def notices(self, part: str) -> bool:
        """Whether a part tells damage better than 0.5, by the standard deviation of an AUROC by chance at least."""
        return self.mean[part] >= 0.5 + self._chance

    @property
    def _chance(self) -> float:
        """The standard deviation of an AUROC of as many images against as many that are no different."""
        return sqrt((2 * self.images + 1) / 12) / self.images

    def table(self) -> str:
        """The areas as lines of plain text, the challenging conditions in one."""
        challenges = [areas for kind, areas in self.auroc.items() if kind in CHALLENGES]
        rows = {f"{len(challenges)} conditions": _mean(challenges)} if challenges else {}
        rows |= {kind: dict(areas) for kind, areas in self.auroc.items() if kind not in CHALLENGES}
        rows["mean of kinds"] = self.mean
        width = max(map(len, rows))
        lines = [f"{'':{width}}  {'  '.join(self.mean)}"]
        for name, areas in rows.items():
            lines.append(f"{name:{width}}  {'  '.join(f'{area:{len(part)}.3f}' for part, area in areas.items())}")
        return "\n".join(lines)


def notice_damage(scorer: ImageScorer, images: Images, seed: int = 0) -> Proxy:
    """Damage images of inliers in every way that there is, and see which parts of their scores notice.

    A kind of damage that changes none of the images is left out, as the loss of colour of grey ones.

    Args:
        scorer: a trained one.
        images: held-out inliers; at most 200 are looked at, from all over, and fewer of large ones.
        seed: of the damage.

    Raises:
        TypeError: images of another kind or dtype.
        ValueError: bad images.
    """
    from sklearn.metrics import roc_auc_score  # slow to import, and needed here alone

    groups = _some(images)
    count = sum(map(len, groups))
    is_damaged = np.repeat([False, True], count)
    before = _losses(scorer, groups)
    auroc: dict[str, dict[str, float]] = {}
    for kind in _kinds(groups):
        damaged = [damage(group, kind, seed + number) for number, group in enumerate(groups)]
        if all(map(np.array_equal, damaged, groups)):
            continue
        after = _losses(scorer, damaged)
        columns = {part: np.concatenate([before[part], after[part]]) for part in before if part in after}
        auroc[kind] = {part: float(roc_auc_score(is_damaged, column)) for part, column in columns.items()}
    return Proxy(auroc, count)


def _kinds(groups: Sequence[ImageArray]) -> list[str]:
    """The kinds of damage that all images can be given."""
    first, *others = (kinds_for(group.shape[1:]) for group in groups)
    return [kind for kind in first if all(kind in kinds for kinds in others)]


def _some(images: Images) -> list[ImageArray]:
    """Images uint8 (n, C, H, W) that are evenly spaced among all: those of one size together, or each by itself."""
    dataset = as_image_dataset(images)
    if isinstance(dataset, FileImages) and dataset.preparation.size is None:
        return list(_some_of_any_size(dataset))
    _, height, width = dataset.shape
    count = min(len(dataset), _MOST_IMAGES, max(1, _MOST_PIXELS // (height * width)))
    return [_as_bytes(dataset.stored_take(torch.arange(count) * len(dataset) // count))]


def _some_of_any_size(images: FileImages) -> Iterator[ImageArray]:
    pixels = _MOST_PIXELS
    count = min(len(images), _MOST_IMAGES)
    for number in range(count):
        # Multiples of a number that has no divisor in common with that of all: the first few are from all over, too.
        image = images.stored(number * _stride(len(images)) % len(images))
        pixels -= image[0].numel()
        if pixels < 0 and number:
            return
        yield _as_bytes(image[None])


def _stride(count: int) -> int:
    """About 0.618 of a number, and prime to it."""
    return next(stride for stride in range(max(1, round(0.618 * count)), count + 1) if gcd(stride, count) == 1)


def _as_bytes(pixels: Tensor) -> ImageArray:
    return pixels.numpy() if pixels.dtype == torch.uint8 else (pixels * 255).round().to(torch.uint8).numpy()


def _losses(scorer: ImageScorer, groups: Sequence[ImageArray]) -> dict[str, npt.NDArray[np.float32]]:
    scores = joined([scorer.score(group) for group in groups])
    return {name: loss.numpy() for name, loss in losses_of(scores).items()}


def _mean(areas: list[Mapping[str, float]]) -> dict[str, float]:
    return {part: float(np.mean([each[part] for each in areas])) for part in areas[0]}
