from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcon_ext.tiles import Pooling

SCORES = torch.tensor([[3.0, 1.0, 7.0], [5.0, 2.0, -4.0]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max", 7.0),
        ("largest:1", 7.0),
        ("largest:3", 5.0),
        ("largest:100", SCORES.mean()),
        ("quantile:0", -4.0),
        ("quantile:1", 7.0),
        ("quantile:0.3", np.quantile(SCORES.numpy(), 0.3)),
    ],
)
def test_an_image_has_the_score_of_its_tiles(text: str, expected: float) -> None:
    pooling = Pooling.parse(text)
    assert float(pooling(SCORES)) == pytest.approx(float(expected))
    assert str(pooling) == text
    both = torch.stack([SCORES.flatten(), -SCORES.flatten()])
    assert torch.equal(pooling.of_each(both), torch.stack([pooling(SCORES), pooling(-SCORES)]))


@pytest.mark.parametrize("text", ["", "mean", "largest:0", "largest:1.5", "largest:x", "quantile:1.1", "quantile:nan"])
def test_another_pooling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="largest:3"):
        Pooling.parse(text)


@pytest.mark.parametrize("value", [0, 0.1, 0.25, 0.5, 0.9, 0.999, 1])
@pytest.mark.parametrize("count", [1, 2, 5, 11])
def test_a_quantile_is_that_of_torch(value: float, count: int) -> None:
    scores = torch.randn(4, count)
    scores[1, count // 2] = torch.inf
    scores[2, count // 2] = torch.nan
    expected = scores.quantile(value, 1)
    torch.testing.assert_close(Pooling("quantile", value).of_each(scores), expected, equal_nan=True)
