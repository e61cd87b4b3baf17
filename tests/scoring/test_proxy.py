"""Which part of a score notices synthetic damage, and decides."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch

from gradcon_ext.challenges.damage import damage, kinds_for
from gradcon_ext.detector.parts import losses_of
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.scoring.proxy import MARGIN, Proxy, notice_damage
from gradcon_ext.scoring.scorer import Scorer

MANY = 1000


def proxy(images=MANY, **mean):
    return Proxy({"patches": mean}, images)


@pytest.mark.parametrize(
    ("areas", "part"),
    [
        ({"gradient": 0.7, "combined": 0.5, "balanced": 0.65}, "balanced"),
        ({"gradient": 0.8, "combined": 0.5, "balanced": 0.65}, "gradient"),
        ({"gradient": 0.8, "combined": 0.9, "balanced": 0.65}, "combined"),
        ({"gradient": 0.5 + MARGIN, "combined": 0.5}, "combined"),
        ({"gradient": 0.51 + MARGIN, "combined": 0.5}, "gradient"),
    ],
)
def test_another_part_decides_where_it_is_ahead_of_the_combination(areas, part):
    assert proxy(**areas).part == part


def test_few_images_tell_less():
    areas = {"gradient": 0.8, "combined": 0.65}
    assert proxy(**areas).part == "gradient"
    assert proxy(images=5, **areas).part == "combined"
    # Mann and Whitney's variance of an area that tells nothing.
    assert proxy(images=5, **areas).margin == pytest.approx(sqrt((5 + 5 + 1) / (12 * 5 * 5)))
    assert proxy(**areas).margin == MARGIN


@pytest.mark.parametrize(
    ("images", "area", "noticed"), [(4, 0.7, False), (4, 0.72, True), (MANY, 0.51, False), (MANY, 0.52, True)]
)
def test_what_is_noticed_is_beyond_chance(images, area, noticed):
    assert proxy(images, gradient=area, combined=0.5).notices("gradient") is noticed


def test_the_mean_is_over_kinds():
    several = Proxy({"rain": {"combined": 0.6}, "snow": {"combined": 0.8}, "patches": {"combined": 1.0}}, MANY)
    assert several.mean == pytest.approx({"combined": 0.8})
    lines = several.table().splitlines()
    assert [line.split() for line in lines] == [
        ["combined"],
        ["2", "conditions", "0.700"],
        ["patches", "1.000"],
        ["mean", "of", "kinds", "0.800"],
    ]
    assert len({line.rindex("0.") if "0." in line else line.rindex("1.") for line in lines[1:]}) == 1


@pytest.fixture(scope="module")
def scorer():
    torch.manual_seed(0)
    model = ConvAutoencoder(1, 12, 4)
    return Scorer(model, {"decoder.0.weight": torch.randn_like(model.get_parameter("decoder.0.weight"))})


IMAGES = np.random.default_rng(0).integers(0, 200, (30, 1, 12, 12), dtype=np.uint8)


def test_areas_are_those_of_damaged_against_intact_images(scorer):
    given = notice_damage(scorer, IMAGES)
    assert given.images == 30
    assert set(given.auroc) == set(kinds_for((1, 12, 12))) - {"decolorization"}  # grey has no colour to lose
    for kind in ("scratches", "noise"):
        intact, damaged = (losses_of(scorer.score(images)) for images in (IMAGES, damage(IMAGES, kind)))
        for part, area in given.auroc[kind].items():
            higher = damaged[part][:, None] > intact[part]
            assert area == pytest.approx(float(higher.float().mean()), abs=1e-6)


def test_floating_point_is_damaged_as_bytes_are(scorer):
    as_bytes, as_floats = (notice_damage(scorer, images).auroc for images in (IMAGES, torch.tensor(IMAGES) / 255))
    assert as_bytes == as_floats


def test_not_all_of_many_images_are_looked_at(scorer):
    many = np.random.default_rng(0).integers(0, 256, (450, 1, 12, 12), dtype=np.uint8)
    assert notice_damage(scorer, many).images == 200
