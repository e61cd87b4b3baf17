"""Sizes and paddings on the way down to a latent image and back up, without torch."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

KERNEL = 4
STRIDE = 2
ENCODER_PADDING = 2
PUBLISHED_DEPTH = 4
"""Convolutions of the paper's encoder, which is made for 28 pixels,"""
MOST_DEPTH = 16
"""and the most that a model may have: those of images of 2^16 pixels a side."""
_LATENT_SIDE = 3
"""Of the paper's latent image."""


class Upsampling(NamedTuple):
    """How one transposed convolution pads one axis."""

    padding: int
    output_padding: int

    def size_from(self, size: int) -> int:
        """Return the size of the output from that of the input."""
        return (size - 1) * STRIDE - 2 * self.padding + KERNEL + self.output_padding


# From 3 to 28 pixels: 3, 4, 8, 14, 28. Deeper decoders go on in turns, counted from the image.
_FROM_THE_IMAGE = (Upsampling(1, 0), Upsampling(2, 0))
_OPTIONS = [Upsampling(padding, output_padding) for padding in (2, 1) for output_padding in (0, 1)]


def downsampled(size: int) -> int:
    """Return the size that a convolution of the encoder makes of another."""
    return (size + 2 * ENCODER_PADDING - KERNEL) // STRIDE + 1


def latent_side(size: int, depth: int) -> int:
    """Return the size that all convolutions of the encoder make of another."""
    for _ in range(depth):
        size = downsampled(size)
    return size


def fitting_depth(height: int, width: int) -> int:
    """Return how many convolutions bring images to a latent image no larger than that of the paper at 28 pixels.

    That is the paper's 4 up to 33 pixels, and one more for each doubling: 8 for 512. A code that stays as large for
    more pixels is what keeps an autoencoder a bottleneck.
    """
    depth = PUBLISHED_DEPTH
    while depth < MOST_DEPTH and latent_side(max(height, width), depth) > _LATENT_SIDE:
        depth += 1
    return depth


def upsampling(latent_size: int, size: int, depth: int = PUBLISHED_DEPTH) -> tuple[Upsampling, ...]:
    """Choose the paddings nearest to the published ones that lead from the latent size to the image's size.

    Padding 2 everywhere mirrors the encoder, with an output padding where an odd size was halved: there always
    is a way.
    """

    @cache
    def best(start: int, left: int) -> tuple[int, tuple[int, ...]] | None:
        """The fewest departures on a way through the last layers, and its options; the first of several such."""
        if left == 0:
            return (0, ()) if start == size else None
        published = _FROM_THE_IMAGE[(left - 1) % len(_FROM_THE_IMAGE)]
        ways = []
        for option, step in enumerate(_OPTIONS):
            rest = best(step.size_from(start), left - 1) if step.size_from(start) >= 1 else None
            if rest is not None:
                ways.append((_departures(step, published) + rest[0], (option, *rest[1])))
        return min(ways, default=None)

    found = best(latent_size, depth)
    assert found is not None  # the way that mirrors the encoder
    return tuple(_OPTIONS[option] for option in found[1])


def _departures(step: Upsampling, published: Upsampling) -> int:
    return (step.padding != published.padding) + (step.output_padding != published.output_padding)
