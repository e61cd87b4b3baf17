from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from gradcon_ext.data import load, one_class_split
from gradcon_ext.reproduce.baselines import BASELINES
from gradcon_ext.reproduce.baselines.checkpoint import Checkpoints

# Of the 120 training images an epoch makes one or two steps.
EPOCHS = {
    "ocsvm": 1,
    "kde": 1,
    "dae": 10,
    "pixelcnn": 60,
    "gan": 40,
    "and": 30,
    "anogan": 60,
    "dsvdd": 100,
    "ocgan": 40,
    "gpnd": 40,
}
FEW = 3
AUROC = {
    "ocsvm": 0.98,
    "kde": 0.98,
    "dae": 0.95,
    "pixelcnn": 0.5,
    "gan": 0.9,
    "and": 0.9,
    "anogan": 0.7,
    "dsvdd": 0.75,
    "ocgan": 0.9,
    "gpnd": 0.9,
}

every_baseline = pytest.mark.parametrize("name", BASELINES)


@pytest.fixture(scope="module")
def split():
    return one_class_split(load("digits"), "0", seed=0)


@pytest.fixture(scope="module")
def first_scores(split):
    """Scores of each baseline for the whole test split."""
    return {name: score(name, split, epochs=EPOCHS[name]) for name in BASELINES}


@pytest.fixture(scope="module")
def early_scores(split):
    """The same after few epochs, for what holds after any number of them."""
    return {name: score(name, split) for name in BASELINES}


def score(name, split, test=None, seed=0, epochs=FEW):
    images = split.test if test is None else test
    return BASELINES[name].score(split.train, split.validation, images, seed, epochs)


@every_baseline
def test_outliers_score_higher(name, split, first_scores):
    scores = first_scores[name]
    assert scores.shape == split.test_is_outlier.shape
    assert scores.dtype == np.float64
    assert roc_auc_score(split.test_is_outlier, scores) > AUROC[name]


@every_baseline
def test_the_seed_decides_every_bit(name, split, early_scores):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    np.testing.assert_array_equal(score(name, split), early_scores[name])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", [name for name, baseline in BASELINES.items() if baseline.trained])
def test_another_seed_trains_another_network(name, split, early_scores):
    # The same one trains the same to the bit, and few epochs leave some scores close to what any network gives.
    assert not np.allclose(score(name, split, seed=1), early_scores[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "interrupted_after", "saves"),
    [
        ("pixelcnn", 2, 3),
        ("gan", 2, 3),
        ("and", 2, 3),
        ("anogan", 2, 6),
        ("anogan", 4, 6),
        ("dsvdd", 1, 4),
        ("dsvdd", 3, 4),
        ("ocgan", 1, 3),
        ("ocgan", 2, 3),
        ("gpnd", 1, 3),
        ("gpnd", 2, 3),
    ],
)
def test_an_interrupted_call_goes_on_and_ends_with_the_same_bits(
    name, interrupted_after, saves, split, early_scores, tmp_path, monkeypatch
):
    arguments = (split.train, split.validation, split.test, 0, FEW)
    saved = []
    save = Checkpoints.save

    def save_or_stop(checkpoints, stage, state):
        if len(saved) == interrupted_after:
            raise KeyboardInterrupt
        save(checkpoints, stage, state)
        saved.append(stage)

    monkeypatch.setattr(Checkpoints, "save", save_or_stop)
    with pytest.raises(KeyboardInterrupt):
        BASELINES[name].score(*arguments, tmp_path)
    interrupted_after += saves
    np.testing.assert_array_equal(BASELINES[name].score(*arguments, tmp_path), early_scores[name])
    assert len(saved) == saves


def test_what_a_call_with_other_arguments_left_is_replaced(split, tmp_path):
    gan = BASELINES["gan"]
    gan.score(split.train, split.validation, split.test, 1, 2, tmp_path)
    (left,) = tmp_path.iterdir()
    for arguments in (
        (split.train, split.validation, split.test, 0, 2),
        (split.train, split.validation, split.test, 0, 1),
        (split.train[1:], split.validation, split.test, 0, 1),
    ):
        before = left.read_bytes()
        np.testing.assert_array_equal(gan.score(*arguments, tmp_path), gan.score(*arguments))
        assert left.read_bytes() != before


@every_baseline
def test_an_image_scores_the_same_in_any_company(name, split, early_scores):
    some = np.random.default_rng(0).permutation(len(split.test))[:20]
    np.testing.assert_allclose(score(name, split, split.test[some]), early_scores[name][some], rtol=1e-4)


@every_baseline
@pytest.mark.parametrize("which", [0, 1, 2])
def test_images_of_another_shape_are_refused(name, which):
    images = [np.zeros((4, 1, 8, 8), np.uint8)] * 3
    of = ("train", "validation", "test")[which]
    for wrong in ((4, 8, 8), (0, 1, 8, 8)):
        images[which] = np.zeros(wrong, np.uint8)
        with pytest.raises(ValueError, match=rf"^{of} images .*{re.escape(str(wrong))}.*\(N, C, H, W\)"):
            BASELINES[name].score(*images, 0, 1)
    images[which] = np.zeros((4, 1, 8, 9), np.uint8)
    with pytest.raises(ValueError, match=r"\(4, 1, 8, [89]\).* train .*\(4, 1, 8, [89]\)"):
        BASELINES[name].score(*images, 0, 1)


def test_other_arguments_out_of_range_are_refused(split):
    pixels = split.test / 255
    with pytest.raises(TypeError, match="test images .*float64.*uint8"):
        BASELINES["kde"].score(split.train, split.validation, pixels, 0, 1)
    with pytest.raises(ValueError, match="seed .* -1$"):
        BASELINES["kde"].score(split.train, split.validation, split.test, -1, 1)
    with pytest.raises(ValueError, match="epochs .* 0$"):
        BASELINES["dae"].score(split.train, split.validation, split.test, 0, 0)


@pytest.mark.parametrize(("name", "published"), [("ocsvm", 0.853), ("kde", 0.669)])
def test_eights_are_told_as_well_as_published(data_root, name, published):
    split = one_class_split(load("mnist", data_root), "8", seed=0)
    scores = BASELINES[name].score(split.train, split.validation, split.test, 0, 1)
    assert roc_auc_score(split.test_is_outlier, scores) > published
