"""One progress bar for many runs."""

from __future__ import annotations

from typing import NoReturn

from tqdm import tqdm

from gradcon_ext.training.progress import Progress


class JobBar:
    """Counts the images of all runs that are taken for training.

    How many a run takes is known once it has begun. Until then it counts as many as those that have, on average.

    Args:
        runs: how many there are.
        shown: whether to show the bar.
    """

    def __init__(self, runs: int, shown: bool) -> None:
        self._runs = runs
        self._over = 0
        self._last: dict[int, Progress] = {}
        self._bar: tqdm[NoReturn] = tqdm(unit=" images", unit_scale=True, disable=not shown, dynamic_ncols=True)
        self._describe()

    def show(self, index: int, progress: Progress) -> None:
        """Show how far a run is."""
        if self._bar.disable:
            return
        last = self._last.get(index)
        self._last[index] = progress
        if last is None:
            # What was trained before does not count for the speed.
            self._bar.initial += progress.images
            self._bar.n += progress.images
            self._estimate()
        else:
            self._bar.update(progress.images - last.images)

    def end(self, index: int) -> None:
        """Count a run as over, whether it is finished or has failed."""
        if self._bar.disable:
            return
        self._over += 1
        last = self._last.setdefault(index, Progress(0, 0, 0))  # one that never began
        self._bar.update(last.total - last.images)
        self._estimate()
        self._describe()

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

    def _estimate(self) -> None:
        self._bar.total = round(self._runs * sum(last.total for last in self._last.values()) / len(self._last))
        self._bar.refresh()

    def _describe(self) -> None:
        self._bar.set_description(f"{self._over}/{self._runs} runs")
