"""How the cost of an image changes with the batch, the size of the images and the width of the model."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import scorers
from benchmarks.report.effort import Effort
from benchmarks.report.measure import FORWARD, FORWARD_BACKWARD, VMAP, Layouts, ours, theirs_in
from benchmarks.timing import Measurement, best, interleaved
from benchmarks.workload import multiply_adds


@dataclass(frozen=True)
class Point:
    """One setting of a panel.

    Attributes:
        x: where it stands in its panel.
        samples: how many images there are.
        batches: with how many at once our score may choose to take them.
        torch_batches: and torch's passes, in both layouts.
        vmap_batches: and vmap(grad), as many images as the largest; none leaves it out.
        size: of the images, in pixels.
        width: of the model.
    """

    x: int
    samples: int
    batches: tuple[int, ...]
    torch_batches: tuple[int, ...]
    vmap_batches: tuple[int, ...]
    size: int = 28
    width: int = 32


@dataclass(frozen=True)
class Panel:
    """One question, with a remark on how it is answered."""

    title: str
    unit: str
    points: tuple[Point, ...]
    note: str


def _at_once(samples: int) -> Point:
    return Point(samples, samples, (samples,), (samples,), (samples,) if samples < 4096 else ())


BATCH, SIZE, WIDTH = "batch", "image size", "model width"
PANELS = (
    Panel(
        BATCH,
        "images scored at once",
        tuple(_at_once(samples) for samples in (1, 4, 16, 64, 256, 1024, 4096)),
        "every line at the batch of the axis. vmap(grad) is left out at 4096, where it would take about 8 GB.",
    ),
    Panel(
        SIZE,
        "rows and columns",
        (
            Point(28, 512, (512,), (64, 128, 256), (32,)),
            Point(64, 64, (16, 64), (8, 32, 64), (8, 16), size=64),
            Point(128, 32, (16, 32), (4, 8, 32), (2, 8), size=128),
            Point(256, 16, (4, 16), (1, 4, 16), (1, 2), size=256),
            Point(512, 4, (1, 4), (1, 4), (1,), size=512),
        ),
        "each at the best of a few batches, from 512 images at 28 pixels to 4 at 512.",
    ),
    Panel(
        WIDTH,
        "times the paper's channels",
        (
            Point(1, 256, (256,), (64, 256), (32,)),
            Point(2, 256, (256,), (16, 64, 256), (32,), width=64),
            Point(4, 128, (64, 128), (16, 64, 128), (8, 16), width=128),
            Point(8, 64, (64,), (16, 64), (2, 8), width=256),
        ),
        "each at the best of a few batches, from 256 images at x1 to 64 at x8.",
    ),
)


@dataclass(frozen=True)
class Cost:
    """Measurements of one point.

    Attributes:
        x: where it stands.
        fused: our score.
        forward, forward_backward: torch's passes, the second to the constrained weights.
        vmap: None where it was left out.
        multiply_adds: of a score of an image that meet no padding.
    """

    x: int
    fused: Measurement
    forward: Measurement
    forward_backward: Measurement
    vmap: Measurement | None
    multiply_adds: int

    def __str__(self) -> str:
        vmap = self.vmap or "vmap(grad) left out"
        return f"{self.x}: {self.fused}; {self.forward}; {self.forward_backward}; {vmap}"


def costs(panel: Panel, effort: Effort) -> list[Cost]:
    return [_cost(point, effort) for point in panel.points]


def _cost(point: Point, effort: Effort) -> Cost:
    layouts = Layouts(point.size, point.width, point.samples)
    contenders = [ours(layouts.contiguous, scorers.FUSED, batch) for batch in point.batches]
    contenders += theirs_in(layouts, FORWARD, point.torch_batches)
    contenders += theirs_in(layouts, FORWARD_BACKWARD, point.torch_batches)
    if point.vmap_batches:
        contenders += theirs_in(layouts, VMAP, point.vmap_batches, max(point.vmap_batches))
    measured = interleaved(contenders, effort.short_rounds // 10, effort.seconds / 6)
    return Cost(
        point.x,
        *(best(measured, name) for name in (scorers.FUSED, FORWARD, FORWARD_BACKWARD)),
        best(measured, VMAP) if point.vmap_batches else None,
        multiply_adds(layouts.contiguous, clipped=True),
    )
