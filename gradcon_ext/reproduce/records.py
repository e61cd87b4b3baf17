"""What is kept of every finished experiment: its figures, small enough to be kept under version control."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gradcon_ext.files import replace_file
from gradcon_ext.reproduce.measuring import Figures
from gradcon_ext.version import __version__


@dataclass(frozen=True)
class Record:
    """The figures of one experiment.

    Attributes:
        epochs: passes over the training images; 0 where nothing is trained by passes.
        best_epoch: the one whose validation objective was best; 0 of a baseline.
        figures: of the detector of that epoch.
        by_epoch: the same of other epochs, by their numbers.
        variants: the same of other detectors of the run, by the names of `gradcon_ext.reproduce.variants`.
        seconds: that training took.
        version: of this package, which measured them.
    """

    epochs: int
    best_epoch: int
    figures: Figures
    by_epoch: dict[int, Figures] = field(default_factory=dict)
    variants: dict[str, Figures] = field(default_factory=dict)
    seconds: float = 0.0
    version: str = __version__

    def figure(self, name: str, variant: str | None = None) -> float:
        """Look up a figure, of a variant or else of the best epoch; raise ValueError if it is not there."""
        try:
            return (self.figures if variant is None else self.variants[variant])[name]
        except KeyError as missing:
            raise ValueError(
                f"a record has no {missing.args[0]!r}: remove the records that were made otherwise"
            ) from None


class Records:
    """The records of a folder, by the names of their experiments.

    Args:
        folder: made when the first one is put.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, epochs: int = 0) -> Record | None:
        """Return a record of at least so many epochs, or None.

        Raises:
            ValueError: the file is damaged; says which.
        """
        path = self._path(name)
        if not path.exists():
            return None
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            by_epoch = {int(epoch): figures for epoch, figures in facts.pop("by_epoch").items()}
            record = Record(**facts, by_epoch=by_epoch)
            return record if record.epochs >= epochs else None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} is no record of an experiment ({error}): remove it") from error

    def put(self, name: str, record: Record) -> None:
        """Write a record, by rename."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as temporary:
            temporary.write_text(json.dumps(_rounded(asdict(record)), indent=1) + "\n", encoding="utf-8")

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _rounded(value: object) -> object:
    """Numbers to six decimals, at any depth."""
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    return round(value, 6) if isinstance(value, float) else value
