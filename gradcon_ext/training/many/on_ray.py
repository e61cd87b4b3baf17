"""Runs as tasks of a Ray cluster, each of which goes on where it was if its worker or its node is lost."""

from __future__ import annotations

import os
import traceback
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradcon_ext._install.cluster import join_cluster
from gradcon_ext._install.freed_memory import keep_freed_memory
from gradcon_ext.data.arrays import Array
from gradcon_ext.data.images import Images
from gradcon_ext.detector.detector import Detector
from gradcon_ext.storage.lock import reserved
from gradcon_ext.training.many.held_once import as_array, converted, once
from gradcon_ext.training.many.processes import WorkerDied, WorkerTraceback, portable
from gradcon_ext.training.many.run import Event, Run, TrainVal
from gradcon_ext.training.run_contents import holds_run

_RETRIES = 20
"""Of a run whose worker or node was lost. Not without end, for a run may kill its own worker."""

_PATIENCE = 120.0
"""Seconds until the process of a lost node, which may notice late that it is lost, lets go of the run's folder."""


def on_ray(
    runs: Sequence[Run], device: str, at_once: int | None, threads: int, resume: bool
) -> Generator[tuple[int, Event], None, None]:
    """Train each run as one task; yield what becomes of them, each event with the index of its run.

    A run with a folder, which all nodes have to share, goes on from its last epoch when its worker or its node is lost,
    and ends with the same bits. One without begins anew, with the same bits too. Closing the iterator cancels all
    tasks.

    Args:
        runs: to train, in this order.
        device: of each task: "cpu", or "cuda" for a GPU of its own.
        at_once: how many tasks there are at a time; by default as many as the cluster has room for.
        threads: of torch, and cores, for each task.
        resume: whether runs go on from what is in their folders now.

    Raises:
        ImportError: Ray is not installed.
        TypeError: a run cannot be sent to a task.
        ValueError: without `resume`, a folder holds a run, which a task that is tried again would go on with.
    """
    if not resume:
        _refuse_used(runs)
    join_cluster()
    import ray

    options = {"num_cpus": threads, "num_gpus": int(device.startswith("cuda")), "max_retries": _RETRIES}
    task = ray.remote(_train).options(**options)
    waiting = deque(enumerate(_in_object_store([replace(run, out=_in_full(run.out)) for run in runs])))
    under_way: dict[Any, int] = {}
    try:
        while waiting or under_way:
            while waiting and (at_once is None or len(under_way) < at_once):
                index, run = waiting.popleft()
                under_way[_sent(task, run, device, threads)] = index
            (done,), _ = ray.wait(list(under_way), num_returns=1)
            yield under_way.pop(done), _event(done)
    finally:
        for reference in under_way:
            with suppress(Exception):  # the cluster may be what has gone
                ray.cancel(reference, force=True)


def _refuse_used(runs: Sequence[Run]) -> None:
    for run in runs:
        if run.out is not None and holds_run(Path(run.out)):
            raise ValueError(
                f"{run.out} holds a run: on a cluster, give resume=True or another folder for {run.name!r}"
            )


def _sent(task: Any, run: Run, *arguments: Any) -> Any:
    try:
        return task.remote(run, *arguments)
    except Exception as error:
        raise TypeError(f"run {run.name!r} cannot be sent to a worker process: {error}") from error


def _train(run: Run, device: str, threads: int) -> tuple[Detector | Exception, str]:
    """Train a run to its end, from its folder if there is something; return its detector, or what it raised."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    try:
        with nullcontext() if run.out is None else reserved(run.out, _PATIENCE):
            *_, detector = run.events(torch.device(device), resume=run.out is not None)
        assert isinstance(detector, Detector)
        return detector, ""
    except Exception as error:
        return portable(error), traceback.format_exc()


def _event(done: Any) -> Event:
    import ray

    event: Event
    try:
        event, trace = ray.get(done)
    except ray.exceptions.RayError as error:
        return WorkerDied(
            f"its task was lost, or could not begin, in the last of up to {_RETRIES + 1} attempts: {error}"
        )
    if isinstance(event, Exception):
        event.__cause__ = WorkerTraceback(f"\n{trace}")
    return event


@dataclass(frozen=True)
class _Stored:
    """Images in the object store, or images that are no arrays."""

    train: Any
    val: Any

    def __call__(self) -> TrainVal:
        return _fetched(self.train), _fetched(self.val)


def _fetched(images: Any) -> Images:
    import ray

    fetched: Images = ray.get(images) if isinstance(images, ray.ObjectRef) else images
    return fetched


def _in_object_store(runs: Sequence[Run]) -> list[Run]:
    """Put every array and tensor into the object store, once; nodes fetch them once too."""
    import ray

    def put(images: Tensor | Array) -> Any:
        return ray.put(as_array(images))

    convert = once(put)
    return [run if callable(run.images) else replace(run, images=_Stored(*converted(run, convert))) for run in runs]


def _in_full(out: str | os.PathLike[str] | None) -> str | None:
    """A path that means the same in whatever folder a worker is."""
    return None if out is None else os.path.abspath(out)
