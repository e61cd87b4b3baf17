"""The parts of a score by their names, with torch and without."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcon_ext import runtime
from gradcon_ext.detector.parts import PARTS, losses_of, part_of
from gradcon_ext.scoring.scorer import Scores

COLUMNS = [torch.arange(3.0) + 10 * number for number in range(7)]
COLUMNS[2] = COLUMNS[2][:, None]


def test_every_part_is_a_column():
    for scores in (Scores(*COLUMNS), runtime.Scores(*(column.numpy() for column in COLUMNS))):
        firsts = {part: float(part_of(scores, part)[0]) for part in PARTS}
        assert firsts == {
            "reconstruction": 0,
            "latent": 10,
            "gradient": -20,
            "combined": 30,
            "direction": 40,
            "code": 50,
            "balanced": 60,
        }
        assert list(losses_of(scores)) == list(PARTS)


def test_parts_that_there_are_not():
    scores = Scores(*COLUMNS[:4])._replace(latent=torch.zeros(3))
    assert list(losses_of(scores)) == ["reconstruction", "gradient", "combined"]
    assert not part_of(scores, "latent").any()
    with pytest.raises(ValueError, match="'code' needs a detector with a balance"):
        part_of(scores, "code")
    with pytest.raises(ValueError, match="no part 'anomaly' of a score; expected one of reconstruction, latent"):
        part_of(scores, "anomaly")
    assert np.isfinite(part_of(scores, "combined").numpy()).all()
