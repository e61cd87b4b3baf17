"""How long does a training step take, with the gradient constraint and without?"""

from __future__ import annotations

import pytest

from benchmarks.steps import ANY_MODEL, FUSED, PLAIN, PUBLISHED, steps

BATCH = 64


@pytest.mark.parametrize(
    ("contender", "baseline", "most"),
    [
        (FUSED, PUBLISHED, 0.45),
        (FUSED, PLAIN, 1.3),
        (ANY_MODEL, PUBLISHED, None),
        (PUBLISHED, PLAIN, None),
    ],
)
def test_training_step(compare, setup, contender, baseline, most) -> None:
    contenders = steps(setup, setup.images[:BATCH])
    ratio = compare(
        contenders[contender],
        contenders[baseline],
        question="training step, Adam included",
        name=f"{contender}, batch {BATCH}",
        baseline_name=baseline,
        samples=BATCH,
    )
    assert most is None or ratio <= most
