from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score

from gradcon_ext.scoring.pixel_metrics import PixelMetrics

Scores = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def metrics_of(scores: list[Scores], masks: list[Mask]) -> PixelMetrics:
    metrics = PixelMetrics()
    for image, mask in zip(scores, masks, strict=True):
        metrics.add(image, mask)
    return metrics


def pro_by_brute_force(scores: list[Scores], masks: list[Mask], limit: float) -> float:
    """Each threshold in turn, each region in turn."""
    regions = []
    for image, mask in zip(scores, masks, strict=True):
        labels, count = label(mask, structure=np.ones((3, 3)))
        regions += [image[labels == number] for number in range(1, count + 1)]
    normal = np.concatenate([image[~mask] for image, mask in zip(scores, masks, strict=True)])
    thresholds = np.unique(np.concatenate([image.ravel() for image in scores]))[::-1]
    x = [0.0, *(float(np.mean(normal >= threshold)) for threshold in thresholds)]
    y = [0.0, *(float(np.mean([np.mean(region >= threshold) for region in regions])) for threshold in thresholds)]
    area = 0.0
    for (x0, y0), (x1, y1) in zip(zip(x, y, strict=True), zip(x[1:], y[1:], strict=True), strict=False):
        if x0 < limit:
            end = min(x1, limit)
            y_end = y1 if x1 == x0 else y0 + (y1 - y0) * (end - x0) / (x1 - x0)
            area += (end - x0) * (y0 + y_end) / 2
    return area / limit


@st.composite
def scored_images(draw: st.DrawFn) -> tuple[list[Scores], list[Mask]]:
    """Images of several sizes, with many ties or none, negative scores and tiny ones; both kinds of pixels."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.sampled_from([3, 20, 2000]))
    scale = draw(st.sampled_from([2.0**-100, 1.0, 2.0**40]))
    scores, masks = [], []
    for _ in range(draw(st.integers(1, 4))):
        shape = (draw(st.integers(2, 12)), draw(st.integers(2, 12)))
        mask = random.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.6]))
        values = random.integers(-levels, levels, shape) + mask * draw(st.integers(0, levels))
        # Few enough digits to be told apart, as the class says.
        scores.append((np.clip(values, -2000, 2000) * scale).astype(np.float32))
        masks.append(mask)
    masks[0][0, 0], masks[0][-1, -1] = True, False
    return scores, masks


@given(scored_images(), st.sampled_from([0.05, 0.3, 1.0]))
def test_agrees_with_brute_force(images: tuple[list[Scores], list[Mask]], limit: float) -> None:
    scores, masks = images
    metrics = metrics_of(scores, masks)
    truth, values = (np.concatenate([image.ravel() for image in each]) for each in (masks, scores))
    assert metrics.auroc() == pytest.approx(roc_auc_score(truth, values), abs=1e-12)
    assert metrics.pro(limit) == pytest.approx(pro_by_brute_force(scores, masks, limit), abs=1e-9)


def test_scores_of_any_digits_are_close_to_exact() -> None:
    random = np.random.default_rng(0)
    masks = [random.random((12, 15)) < 0.2 for _ in range(3)]
    scores = [random.normal(mask, 1).astype(np.float32) for mask in masks]
    truth, values = (np.concatenate([image.ravel() for image in each]) for each in (masks, scores))
    metrics = metrics_of(scores, masks)
    assert metrics.auroc() == pytest.approx(roc_auc_score(truth, values), abs=1e-3)
    assert metrics.pro() == pytest.approx(pro_by_brute_force(scores, masks, 0.3), abs=1e-3)


def test_perfect_maps_and_the_worst() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:4] = mask[6, 6] = True
    perfect = metrics_of([mask.astype(np.float32)], [mask])
    assert (perfect.auroc(), perfect.pro()) == (1, 1)
    worst = metrics_of([-mask.astype(np.float32)], [mask])
    assert (worst.auroc(), worst.pro()) == (0, 0)
    constant = metrics_of([np.ones((8, 8), np.float32)], [mask])
    assert constant.auroc() == 0.5
    assert constant.pro() == pytest.approx(0.15)


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:5] = mask[9, 9] = True
    finds_the_small_one = np.zeros((10, 10), np.float32)
    finds_the_small_one[9, 9] = 1
    # 0.5 of the regions at no false positive, then all with all of the others.
    assert metrics_of([finds_the_small_one], [mask]).pro() == pytest.approx(0.5 + 0.5 * 0.15)


def test_both_zeros_are_one_score() -> None:
    mask = np.array([[True, False]])
    assert metrics_of([np.array([[-0.0, 0.0]], np.float32)], [mask]).auroc() == 0.5


@pytest.mark.parametrize(
    ("scores", "mask", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2), bool), r"\(2, 3\).*\(3, 2\)"),
        (np.zeros(3), np.zeros(3, bool), r"\(H, W\)"),
        (np.array([[np.nan]]), np.zeros((1, 1), bool), "NaN"),
        (np.array([[1e300]]), np.zeros((1, 1), bool), "infinite"),
    ],
)
def test_bad_images(scores: Scores, mask: Mask, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PixelMetrics().add(scores, mask)


@pytest.mark.parametrize(("anomalous", "message"), [(True, "no pixel is normal"), (False, "no pixel is anomalous")])
def test_one_kind_of_pixels_has_no_metrics(anomalous: bool, message: str) -> None:
    metrics = metrics_of([np.zeros((4, 4), np.float32)], [np.full((4, 4), anomalous)])
    for metric in (metrics.auroc, metrics.pro):
        with pytest.raises(ValueError, match=message):
            metric()
