"""Scores of image files in one call."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from torch import nn

from gradcon_ext.data.reading import Preparation
from gradcon_ext.detector.detector import Detector
from gradcon_ext.ray.job import Place, ScoringJob


def score_files(
    paths: Place | Iterable[Place],
    detector: Place | Detector,
    out: Place | None = None,
    *,
    preparation: Preparation | None = None,
    batch_size: int = 512,
    block_size: int | None = None,
    device: str = "cpu",
    actors: int | None = None,
    threads: int | None = None,
    network: nn.Module | None = None,
    address: str | None = None,
) -> Any:
    """Score image files on a Ray cluster; return a `ray.data.Dataset` of the rows of `gradcon score`, one an image.

    Their columns are "path", those of `gradcon_ext.detector.columns`, and "error", which says why an image has no
    scores. Bits are those of one machine with the same batch size; the order of rows is that in which they are ready.

    Args:
        paths: of images, folders and lists, as `find_images` takes them, in a file system that all nodes share; and
            URLs of fsspec, of images and of folders. One, or several.
        detector: see `ScoringJob` for it and all that follows `out`.
        out: folder or URL that Parquet files are written to as they come: see `ScoringJob.write`, which has finished
            when this returns. None writes nothing, and computes rows when they are asked for.
        preparation: as `detector`.
        batch_size: likewise.
        block_size: likewise.
        device: likewise.
        actors: likewise.
        threads: likewise.
        network: likewise.
        address: likewise.

    Raises:
        ImportError, ConnectionError, OSError, ValueError: as `ScoringJob.write` raises.
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    job = ScoringJob(several, detector, preparation, batch_size, block_size, device, actors, threads, network, address)
    if out is None:
        return job.dataset()
    files = job.write(out).files
    import ray

    return ray.data.read_parquet(files)
