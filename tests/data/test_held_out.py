"""Which images are held out, and for what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.data.held_out import held_out


@given(st.integers(2, 3000), st.integers(0, 5), st.booleans(), st.booleans())
def test_every_image_is_used_once(count, seed, validation, calibration):
    parts = held_out(count, seed, validation, calibration)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(count))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert len(parts.train) > 0
    assert (len(parts.validation) > 0) == validation
    assert (len(parts.calibration) > 0) == (calibration and count >= 2 + validation)


def test_what_is_validated_does_not_depend_on_calibration():
    """So that it is what it was before there was any."""
    order = np.random.default_rng(7).permutation(24)
    for calibration in (False, True):
        assert held_out(24, 7, calibration=calibration).validation.tolist() == sorted(order[:2])
    assert held_out(24, 7).validation.tolist() != held_out(24, 8).validation.tolist()


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (1200, (960, 120, 120)),
        (1000, (800, 100, 100)),
        (990, (792, 99, 99)),
        (500, (351, 50, 99)),
        (360, (252, 36, 72)),
        (12, (9, 1, 2)),
        (3, (1, 1, 1)),
        (2, (1, 1, 0)),
    ],
)
def test_how_many_are_held_out(count, sizes):
    assert tuple(map(len, held_out(count, 0))) == sizes


@pytest.mark.parametrize(("count", "validation"), [(0, False), (0, True), (1, True)])
def test_too_few_images(count, validation):
    with pytest.raises(ValueError, match=f"there are {count} images; expected at least {1 + validation}"):
        held_out(count, 0, validation)
