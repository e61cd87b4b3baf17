"""How the cost of an image changes with the batch, the size of the images and the width of the model."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import scorers
from benchmarks.report.effort import Effort
from benchmarks.report.measure import FORWARD, VMAP, ours, theirs
from benchmarks.timing import Measurement, best, interleaved
from benchmarks.workload import Workload, autoencoder


@dataclass(frozen=True)
class Point:
    """One setting of a panel.

    Attributes:
        x: where it stands in its panel.
        samples: how many images are scored, all at once by the fused engine.
        vmap_samples: how many of them by vmap(grad), all at once; 0 leaves it out.
        forward_batches: torch's forward pass takes the best of these.
        size: of the images, in pixels.
        width: of the model.
    """

    x: int
    samples: int
    vmap_samples: int
    forward_batches: tuple[int, ...]
    size: int = 28
    width: int = 32


@dataclass(frozen=True)
class Panel:
    """One question, with a remark on how it is answered."""

    title: str
    unit: str
    points: tuple[Point, ...]
    note: str


# Large feature maps leave the cache in a large batch: torch may choose.
_SMALL = 8
PANELS = (
    Panel(
        "batch",
        "images scored at once",
        tuple(Point(n, n, n if n < 4096 else 0, (n,)) for n in (1, 4, 16, 64, 256, 1024, 4096)),
        "every line at the batch of the axis. vmap(grad) is left out at 4096, where it would take about 8 GB.",
    ),
    Panel(
        "image size",
        "rows and columns",
        (
            Point(28, 64, 64, (_SMALL, 64)),
            Point(56, 64, 32, (_SMALL, 64), size=56),
            Point(112, 32, 16, (_SMALL, 32), size=112),
            Point(256, 32, 8, (_SMALL, 32), size=256),
        ),
        "32 to 64 images at once; vmap(grad) from 64 at 28 pixels to 8 at 256, to bound its time; torch's forward pass "
        "also 8 at a time, the better of the two.",
    ),
    Panel(
        "model width",
        "times the paper's channels",
        (
            Point(1, 64, 64, (_SMALL, 64)),
            Point(2, 64, 32, (_SMALL, 64), width=64),
            Point(4, 64, 16, (_SMALL, 64), width=128),
            Point(8, 64, 8, (_SMALL, 64), width=256),
        ),
        "64 images at once; vmap(grad) from 64 at x1 to 8 at x8, to bound its time and memory; torch's forward pass "
        "also 8 at a time, the better of the two.",
    ),
)


@dataclass(frozen=True)
class Cost:
    """Measurements of one point; vmap(grad) is None where it was left out."""

    x: int
    fused: Measurement
    forward: Measurement
    vmap: Measurement | None

    def __str__(self) -> str:
        return f"{self.x}: {self.fused}; {self.forward}; {self.vmap or 'vmap(grad) left out'}"


def costs(panel: Panel, effort: Effort) -> list[Cost]:
    return [_cost(point, effort) for point in panel.points]


def _cost(point: Point, effort: Effort) -> Cost:
    workload = autoencoder(3, point.size, point.width, point.samples)
    contenders = [ours(workload, scorers.FUSED, point.samples)]
    contenders += [theirs(workload, FORWARD, batch) for batch in point.forward_batches]
    if point.vmap_samples:
        some = Workload(workload.model, workload.references, workload.images[: point.vmap_samples])
        contenders.append(theirs(some, VMAP, point.vmap_samples))
    measured = interleaved(contenders, effort.short_rounds // 10, effort.seconds / 18)
    vmap = best(measured, VMAP) if point.vmap_samples else None
    return Cost(point.x, best(measured, scorers.FUSED), best(measured, FORWARD), vmap)
