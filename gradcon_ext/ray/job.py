"""A job: images that are scored by actors on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from torch import nn

from gradcon_ext._install.cluster import join_cluster
from gradcon_ext.data.reading import Preparation
from gradcon_ext.detector.detector import Detector
from gradcon_ext.detector.place import detector_file
from gradcon_ext.ray.block_scorer import BlockScorer, Settings, loaded
from gradcon_ext.ray.blocks import Blocks, in_object_store
from gradcon_ext.ray.places import Folder, each_image, is_url
from gradcon_ext.ray.writing import BlockWriter, Written, begin_or_go_on, job_facts, part_name, written
from gradcon_ext.scoring.image_scoring import scorer_of

Place: TypeAlias = str | os.PathLike[str]

_BATCHES_A_BLOCK = 4
_URLS_AT_A_TIME = 16
"""They are mostly waited for."""


@dataclass(frozen=True)
class ScoringJob:
    """Images to score, and how.

    Attributes:
        paths: of images, folders and lists, as `find_images` takes them, in a file system that all nodes share; and
            URLs of fsspec, of images and of folders.
        detector: its file or the folder of its run, here; or a detector.
        preparation: of the images; by default that of the detector.
        batch_size: images that are scored at a time.
        block_size: images that an actor is given at a time, and of a file that is written: a multiple of `batch_size`,
            by default four times as many. It bounds what is lost with a node.
        device: of each actor, "cpu" or "cuda".
        actors: how many; by default one a core of the cluster, or one a GPU.
        threads: that read images, in each actor; by default one, and 16 where there are URLs.
        network: that makes feature maps, for a detector of those of another network than timm's.
        address: of the cluster; see `gradcon_ext._install.cluster.join_cluster`.
    """

    paths: Sequence[Place]
    detector: Place | Detector
    preparation: Preparation | None = None
    batch_size: int = 512
    block_size: int | None = None
    device: str = "cpu"
    actors: int | None = None
    threads: int | None = None
    network: nn.Module | None = None
    address: str | None = None

    def dataset(self) -> Any:
        """Return a `ray.data.Dataset` that computes one row an image when it is asked for; raises what `write` does."""
        detector, settings = self._prepared()
        blocks, tables = self._blocks()
        return self._scored(tables, BlockScorer, detector, _with_frames(settings, blocks))

    def write(self, out: Place) -> Written:
        """Score the images, and write Parquet files to a folder, each as soon as its images are scored.

        A file has the rows of one block. Its name follows from the place of its images among all, and it appears
        whole: a block that is tried again, because a worker or a node was lost, replaces its own file with the same
        bits, so that every image is there exactly once. The same job goes on where an earlier one ended.

        Args:
            out: folder or URL of fsspec, that all nodes can write to: new, empty, or of the same job before.

        Raises:
            ImportError: Ray is not installed.
            ConnectionError: there is no such cluster.
            FileExistsError: the folder holds something else, or scores of other images, settings or another detector.
            FileNotFoundError: there are no such images, or there is no such detector.
            ValueError: no images, a name that is not UTF-8, a number out of range, or a cluster without a GPU.
            RuntimeError: an actor failed, as where a disk is full. Blocks that were finished stay.
        """
        detector, settings = self._prepared()
        blocks, tables = self._blocks()
        folder = Folder(out)
        finished = begin_or_go_on(folder, job_facts(blocks, detector, settings))
        names = [part_name(number) for number in range(len(tables))]
        missing = [table for name, table in zip(names, tables, strict=True) if name not in finished]
        told = []
        if missing:
            dataset = self._scored(missing, BlockWriter, detector, _with_frames(settings, blocks), folder.place)
            told = _told(dataset)
        return written(folder, names, sorted(finished.intersection(names)), told)

    def _prepared(self) -> tuple[bytes, Settings]:
        """Connect, and return what every actor is given."""
        block_size = self._block_size
        for name, number in (("batch_size", self.batch_size), ("actors", self.actors), ("threads", self.threads)):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        if block_size < 1 or block_size % self.batch_size:
            raise ValueError(f"block_size must be a multiple of batch_size, {self.batch_size}, got {block_size}")
        detector = _bytes_of(self.detector)
        read = loaded(detector)
        scorer_of(read, network=self.network)  # What is wrong with either is told here, and not by an actor.
        preparation = self.preparation or Preparation.read(read.preprocessing)
        threads = self.threads or (_URLS_AT_A_TIME if any(is_url(os.fspath(path)) for path in self.paths) else 1)
        join_cluster(self.address)
        return detector, Settings(preparation, self.batch_size, self.device, threads, os.getcwd(), self.network)

    @property
    def _block_size(self) -> int:
        return self.block_size or _BATCHES_A_BLOCK * self.batch_size

    def _blocks(self) -> tuple[Blocks, list[Any]]:
        blocks = Blocks(each_image(self.paths), self._block_size)
        tables = in_object_store(blocks)
        if not tables:
            raise ValueError("there are no images to score")
        return blocks, tables

    def _scored(self, tables: Sequence[Any], actor: type, *arguments: Any) -> Any:
        import ray
        from ray.data import ActorPoolStrategy

        kind = "CPU" if self.device == "cpu" else "GPU"
        count = self.actors or int(ray.cluster_resources().get(kind, 0))
        if not count:
            raise ValueError(f"the cluster has no {kind}; expected at least one for device {self.device!r}")
        return ray.data.from_arrow_refs(list(tables)).map_batches(
            actor,
            fn_constructor_args=arguments,
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=min(count, len(tables))),
            num_cpus=1,
            num_gpus=None if kind == "CPU" else 1,
        )


def _with_frames(settings: Settings, blocks: Blocks) -> Settings:
    return replace(settings, has_frames=blocks.name_frames or settings.preparation.frame == "all")


def _told(dataset: Any) -> list[dict[str, Any]]:
    """Compute all rows of a dataset; what an actor raises is a RuntimeError."""
    import ray

    try:
        return list(dataset.iter_rows())
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"an actor failed: {str(error).strip().splitlines()[-1]}") from error


def _bytes_of(detector: Place | Detector) -> bytes:
    """A detector as its file has it."""
    if not isinstance(detector, Detector):
        return detector_file(Path(detector)).read_bytes()
    with TemporaryDirectory(prefix="gradcon-") as folder:
        detector.save(path := Path(folder, "detector.safetensors"))
        return path.read_bytes()
