"""How long does the score of a single image take?"""

from __future__ import annotations

from benchmarks.competitors import forward_backward_to_all
from benchmarks.scorers import FUSED, fused_scorer


def test_one_image(compare, setup) -> None:
    image = setup.images[:1]
    scorer = fused_scorer(setup)
    ratio = compare(
        lambda: scorer.score(image),
        lambda: forward_backward_to_all(setup.model, image),
        question="complete score of one image alone",
        name=FUSED,
        baseline_name="torch's forward and backward pass",
        samples=1,
        rounds=200,
    )
    assert ratio <= 0.6
