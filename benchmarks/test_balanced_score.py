"""What does the balanced score cost beside the paper's, in time and in memory?"""

from __future__ import annotations

import torch

from benchmarks.scorers import FUSED, fused_scorer
from gradcon_ext import Detector, Scorer, balanced

QUESTION = "balanced score: the code's parts besides"


def test_beside_the_papers_score(compare, setup, capsys) -> None:
    detector = balanced(Detector(setup.model, setup.references, 1), setup.images[:400], setup.images[400:])
    with_balance, papers = Scorer.from_detector(detector), fused_scorer(setup)
    assert torch.equal(with_balance.score(setup.images).anomaly, papers.score(setup.images).anomaly)
    spaces = detector.balance.direction, detector.balance.code
    stored = sum(array.nbytes for space in spaces for array in (space.mean, space.directions))
    with capsys.disabled():
        print(f"\nthe balance takes {stored / 2**20:.1f} MiB, and {spaces[0].directions.shape[0]} numbers an image")
    ratio = compare(
        lambda: with_balance.score(setup.images, batch_size=512),
        lambda: papers.score(setup.images, batch_size=512),
        question=QUESTION,
        name=f"{FUSED}, with a balance, batch 512",
        baseline_name=f"{FUSED}, batch 512",
        samples=512,
    )
    assert ratio <= 1 / 0.8
