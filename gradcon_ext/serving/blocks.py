"""Scores that do not depend on what else is scored at the time."""

from __future__ import annotations

import math

import numpy as np

from gradcon_ext.data.arrays import Array
from gradcon_ext.runtime import Scorer, Scores

_LARGEST_BLOCK = 16
"""Samples that share the lanes of the widest vectors."""
_PIXELS_OF_BLOCK = 2**14


def block_size(height: int, width: int) -> int:
    """Return how many images are scored together: a power of two, 1 of those from 128 pixels on.

    Small images are scored best when they fill the lanes of a vector. Large ones fill them by strips of their rows
    (`docs/design.md`), and others beside them save nothing.
    """
    most = min(_LARGEST_BLOCK, _PIXELS_OF_BLOCK // (height * width))
    return 2 ** int(math.log2(most)) if most else 1


class BlockScorer:
    """Scores images in blocks of always the same size, the last of which is filled up.

    The last bits of a score depend on how many images it is computed with; here that is always the same number, so
    that an image has the same bits whoever asks at the same time.

    Attributes:
        block: images of a block.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.block = block_size(*scorer.image_shape[1:])

    def score(self, images: Array) -> Scores:
        """Score images (N, C, H, W), of which there is at least one; of several threads if need be."""
        count = len(images)
        lacking = -count % self.block
        if lacking:
            images = np.concatenate([images, np.zeros((lacking, *images.shape[1:]), images.dtype)])
        scores = self._scorer.score(images, self.block)
        return Scores(*(None if column is None else column[:count] for column in scores))  # type: ignore[arg-type]
