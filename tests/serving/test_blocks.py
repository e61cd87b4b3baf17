from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcon_ext.runtime import Scorer
from gradcon_ext.serving.blocks import BlockScorer, block_size
from support.served import random_bytes, write_detector


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(8, 8, 16), (28, 28, 16), (32, 32, 16), (48, 48, 4), (64, 64, 4), (90, 90, 2), (128, 128, 1), (1024, 512, 1)],
)
def test_small_images_fill_the_lanes_and_large_ones_are_scored_alone(height: int, width: int, expected: int) -> None:
    assert block_size(height, width) == expected


@pytest.fixture(scope="module", params=[(1, 8, 8), (3, 28, 28), (3, 64, 64), (1, 128, 128)], ids=str)
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    path: Path = tmp_path_factory.mktemp("blocks") / "detector.safetensors"
    return Scorer.load(write_detector(path, request.param), threads=1)


@settings(max_examples=15)
@given(data=st.data())
def test_a_score_has_the_same_bits_whatever_is_scored_beside_it(scorer: Scorer, data: st.DataObject) -> None:
    images = random_bytes(scorer.image_shape, 6)
    blocks = BlockScorer(scorer)
    alone = [blocks.score(images[index : index + 1]) for index in range(len(images))]
    chosen = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=20))
    together = blocks.score(images[chosen])
    for place, index in enumerate(chosen):
        for name, column, single in zip(together._fields, together, alone[index], strict=True):
            assert np.array_equal(column[place], single[0]), name


def test_the_scores_are_those_of_the_scorer(scorer: Scorer) -> None:
    images = random_bytes(scorer.image_shape, 20)
    given, expected = BlockScorer(scorer).score(images), scorer.score(images)
    for name, column, wanted in zip(given._fields[:6], given, expected, strict=False):
        assert column.shape == wanted.shape
        np.testing.assert_allclose(column, wanted, rtol=1e-5, atol=1e-6, err_msg=name)
