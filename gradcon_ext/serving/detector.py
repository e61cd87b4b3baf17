"""The detector that is served, and how images are brought to it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradcon_ext.data.reading.preparation import Preparation
from gradcon_ext.detector.facts import scores_tiles
from gradcon_ext.detector.stored_chain import StoredChain, read_stored_chain
from gradcon_ext.runtime import Scorer
from gradcon_ext.version import __version__


@dataclass(frozen=True)
class ServedDetector:
    """A detector without torch.

    Attributes:
        name: of its run's folder, or of its file.
        digest: SHA-256 of its file.
        stored: what the file holds.
        scorer: of one thread: requests are what is spread over threads.
        preparation: of images, as the file says.
    """

    name: str
    digest: str
    stored: StoredChain
    scorer: Scorer
    preparation: Preparation

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ServedDetector:
        """Read a detector from its file or from the folder of its run.

        Raises:
            FileNotFoundError: there is no such file or folder, or no detector in it.
            ValueError: it cannot be scored with without torch, see `gradcon_ext.runtime.Scorer.load`; or it is none
                of whole image files: it takes feature maps or tiles, or does not say how images are prepared.
        """
        file, stored = read_stored_chain(path)
        try:
            scorer = Scorer.from_stored(stored, threads=1)
            if stored.takes_features:
                raise ValueError("it scores feature maps, which are made from images with torch")
            if scores_tiles(stored.preprocessing):
                raise ValueError("it scores tiles of images, which `gradcon score` does, with torch")
            preparation = Preparation.read(stored.preprocessing)
            prepared = (preparation.channels, *(preparation.size or ()))
            if prepared != scorer.image_shape:
                raise ValueError(f"images are prepared as {prepared}, and scored as {scorer.image_shape}")
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        given = Path(path).resolve()
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return cls(given.name if given.is_dir() else given.stem, digest, stored, scorer, preparation)

    @property
    def facts(self) -> dict[str, Any]:
        """What a client should know, as JSON holds it; threshold and rate are None without a calibration."""
        calibration, part = self.stored.calibration, self.stored.part
        threshold = None if calibration is None else calibration.threshold(part)
        return {
            "name": self.name,
            "sha256": self.digest,
            "version": __version__,
            "part": part,
            "threshold": None if threshold == float("inf") else threshold,
            "false_alarm_rate": None if calibration is None else calibration.rate,
            "calibration_images": None if calibration is None else calibration.count,
            "image_shape": list(self.scorer.image_shape),
            "layers": list(self.scorer.layers),
            "alpha": self.stored.alpha,
            "preprocessing": dict(self.stored.preprocessing),
        }
