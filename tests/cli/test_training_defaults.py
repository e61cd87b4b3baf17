from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.cli.training_defaults import Settings, default_settings
from gradcon_ext.detector.parts import PARTS

SCORES = st.sampled_from(("auto", "gradcon", *PARTS))


@pytest.mark.parametrize(
    ("score", "of_tiles", "images", "expected"),
    [
        ("auto", False, 4500, Settings(0.03, 15, 10, 64)),
        ("balanced", False, 4500, Settings(0.03, 15, 10, 64)),
        ("code", False, 4500, Settings(0.03, 15, 10, 64)),
        ("gradcon", False, 4500, Settings(0.03, 30, 0, 64)),
        ("reconstruction", False, 4500, Settings(0.03, 30, 0, 64)),
        ("auto", False, 2000, Settings(0.03, 15, 10, 32)),
        ("auto", False, 480, Settings(0.03, 30, 20, 16)),
        ("auto", False, 2, Settings(0.03, 60, 40, 16)),
        ("gradcon", False, 2, Settings(0.03, 120, 0, 16)),
        ("auto", True, 20000, Settings(0.003, 6, 0, 64)),
        ("gradcon", True, 20000, Settings(0.03, 6, 0, 64)),
    ],
)
def test_by_score_and_number_of_images(score, of_tiles, images, expected):
    assert default_settings(score, of_tiles, images) == expected


@given(score=SCORES, of_tiles=st.booleans(), images=st.integers(1, 10**6))
def test_a_few_images_make_as_many_steps_as_bounds_allow(score, of_tiles, images):
    settings, of_many = (default_settings(score, of_tiles, count) for count in (images, 10**9))
    steps = (settings.lead_in + settings.epochs) * ceil(images / settings.batch_size)
    assert steps >= 1500 or (settings.batch_size, settings.epochs) == (16, 4 * of_many.epochs)
    # No more than are wanted, but for what the usual batches and epochs make.
    assert steps <= 3000 or settings == of_many
