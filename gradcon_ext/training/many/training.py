"""Training of many models at once, by worker processes or in turns on a GPU."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from gradcon_ext._install.device import usable_device
from gradcon_ext.data.whole_numbers import is_whole
from gradcon_ext.detector.detector import Detector
from gradcon_ext.training.many.held_once import in_files, on_device
from gradcon_ext.training.many.job_bar import JobBar
from gradcon_ext.training.many.processes import in_processes
from gradcon_ext.training.many.run import Event, Run
from gradcon_ext.training.many.turns import in_turns
from gradcon_ext.training.progress import Progress

_AT_ONCE_ON_A_GPU = 8


class RunsFailed(RuntimeError):  # noqa: N818 - it says what has happened
    """Some of many runs failed; all others have finished.

    Attributes:
        errors: why, by name of the run.
        detectors: of the others, by name of the run.
    """

    def __init__(self, errors: Mapping[str, Exception], detectors: Mapping[str, Detector]) -> None:
        reasons = "".join(f"\n{name}: {type(error).__name__}: {error}" for name, error in errors.items())
        super().__init__(f"{len(errors)} of {len(errors) + len(detectors)} runs failed:{reasons}")
        self.errors = dict(errors)
        self.detectors = dict(detectors)


def train_many(
    runs: Sequence[Run],
    *,
    at_once: int | None = None,
    threads: int = 1,
    device: str | torch.device = "cpu",
    resume: bool = False,
    progress: bool = True,
    finished: Callable[[Run, Detector], None] | None = None,
    cluster: Literal["ray"] | None = None,
) -> list[Detector]:
    """Train many models, several at a time; return their detectors, in the order of the runs.

    Each detector is that of `Trainer.fit` with as many threads, on the CPU to the bit. On the CPU a worker process
    trains one run after the other. On a GPU this process trains the runs in turns, each on a stream of its own.

    Worker processes import the main module, so a script has to call this below `if __name__ == "__main__":`. A run,
    with its model, loss and images, has to be what pickle can send to another process.

    With `cluster="ray"` each run is one task of a Ray cluster: that which this process is connected to, or else that of
    `RAY_ADDRESS`. A run whose worker or node is lost goes on from its folder, which all nodes have to share, and one
    without a folder begins anew; the detectors are the same, to the bit. Folders are new, or `resume` is given. The bar
    counts runs alone there, and what a run logs stays in its worker's log.

    An interruption, as by Ctrl-C, ends all runs at once. Those with a folder go on from there with `resume`.

    Args:
        runs: to train, in this order.
        at_once: how many runs at a time; by default as many as there are cores for their threads, on a GPU 8, and on a
            cluster as many as it has cores, or GPUs, for.
        threads: of torch for each run on the CPU.
        device: to train on.
        resume: whether runs go on from their folders. One that had finished is not trained again.
        progress: whether to show a bar for all runs together.
        finished: called in this process with each run that has finished, and its detector.
        cluster: "ray" sends the runs to a Ray cluster; see above. By default they stay on this machine.

    Raises:
        ImportError: the extra `ray` is not installed, and `cluster` asks for it.
        ValueError: an argument is out of range, the device is not there or has no kernels, two runs have one name or
            folder, `resume` is for a run without a folder, or on a cluster a folder holds a run and it is not given.
        TypeError: a run cannot be sent to a worker process.
        RunsFailed: a run failed, or its process died. It is raised after all others have finished.
    """
    runs = list(runs)
    _check(runs, at_once, threads, resume, cluster)
    errors: dict[str, Exception] = {}
    detectors: dict[str, Detector] = {}
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        _events(runs, at_once, int(threads), device, resume, cluster) as events,
        closing(JobBar(len(runs), progress)) as bar,
    ):
        for index, event in events:
            if isinstance(event, Progress):
                bar.show(index, event)
                continue
            bar.end(index)
            if isinstance(event, Detector):
                detectors[runs[index].name] = event
                if finished is not None:
                    finished(runs[index], event)
            else:
                errors[runs[index].name] = event
    if errors:
        raise RunsFailed(errors, detectors)
    return [detectors[run.name] for run in runs]


@contextmanager
def _events(
    runs: Sequence[Run],
    at_once: int | None,
    threads: int,
    device: str | torch.device,
    resume: bool,
    cluster: Literal["ray"] | None,
) -> Iterator[Iterator[tuple[int, Event]]]:
    """Give what becomes of the runs; at the end all that were still under way are ended."""
    if cluster == "ray":
        from gradcon_ext.training.many.on_ray import on_ray

        with closing(on_ray(runs, str(device), at_once, threads, resume)) as events:
            yield events
        return
    device = usable_device(device)
    if device.type == "cuda":
        with closing(in_turns(on_device(runs, device), device, at_once or _AT_ONCE_ON_A_GPU, resume)) as events:
            yield events
    else:
        at_once = at_once or max(1, len(os.sched_getaffinity(0)) // threads)
        with (
            TemporaryDirectory(prefix="gradcon-") as folder,
            closing(in_processes(in_files(runs, Path(folder)), at_once, threads, resume)) as events,
        ):
            yield events


def _check(runs: Sequence[Run], at_once: int | None, threads: int, resume: bool, cluster: str | None) -> None:
    if cluster not in (None, "ray"):
        raise ValueError(f'cluster must be None or "ray", got {cluster!r}')
    for name, number in (("at_once", at_once), ("threads", threads)):
        if number is not None and not is_whole(number, 1):
            raise ValueError(f"{name} must be an integer of at least 1, got {number!r}")
    folders = [os.path.abspath(run.out) for run in runs if run.out is not None]
    for what, values in (("name", [run.name for run in runs]), ("folder", folders)):
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            raise ValueError(f"expected a {what} for each run, got two runs with {twice[0]!r}")
    without = [run.name for run in runs if run.out is None]
    if resume and without:
        raise ValueError(f"resume=True needs a folder for each run: give {without[0]!r} an `out`")
