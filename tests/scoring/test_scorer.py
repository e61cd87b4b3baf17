from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from gradcon_ext import Detector, Scorer, Scores
from gradcon_ext.detector import verification
from gradcon_ext.losses import SampleLosses, loss_of
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.sklearn.row_autoencoder import RowAutoencoder


def scorer_of(model: nn.Module, alpha: float = 0.12) -> Scorer:
    generator = torch.Generator().manual_seed(1)
    references = {
        f"decoder.{i}.weight": torch.randn(model.decoder[i].weight.shape, generator=generator) for i in (0, 2, 4, 6)
    }
    return Scorer(model, references, alpha)


@pytest.fixture
def model() -> ConvAutoencoder:
    torch.manual_seed(0)
    return ConvAutoencoder(width=4)


@pytest.fixture
def scorer(model: ConvAutoencoder) -> Scorer:
    return scorer_of(model)


def assert_same(scores: Scores, expected: Scores) -> None:
    for column, expected_column in zip(scores, expected, strict=True):
        torch.testing.assert_close(column, expected_column)


def test_the_anomaly_score_is_the_objective(scorer: Scorer) -> None:
    scores = scorer.score(torch.rand(7, 1, 28, 28))
    assert scores.cosine.shape == (7, 4)
    assert scores.cosine.abs().max() <= 1
    assert not scores.latent.any()
    torch.testing.assert_close(scores.anomaly, scores.reconstruction - 0.12 * scores.cosine.mean(1))
    torch.testing.assert_close(scores.gradient, -scores.cosine.mean(1))


def test_a_variational_autoencoder_has_a_latent_loss_and_repeats() -> None:
    torch.manual_seed(0)
    scorer = scorer_of(ConvVariationalAutoencoder(size=9, width=2))
    images = torch.rand(5, 1, 9, 9)
    scores = scorer.score(images)
    assert (scores.latent > 0).all()
    torch.testing.assert_close(scores.anomaly, scores.reconstruction + scores.latent - 0.12 * scores.cosine.mean(1))
    assert all(map(torch.equal, scores[:4], scorer.score(images)[:4]))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 512])
def test_the_batch_size_does_not_matter(scorer: Scorer, batch_size: int) -> None:
    images = torch.rand(7, 1, 28, 28)
    assert_same(scorer.score(images, batch_size), scorer.score(images))


def test_every_form_of_the_same_images_scores_the_same(scorer: Scorer) -> None:
    images = torch.randint(0, 256, (6, 1, 28, 28), dtype=torch.uint8)
    expected = scorer.score(images.float() / 255)
    for form in (
        images,
        images.numpy(),
        images[:, 0].numpy(),
        images.double().numpy() / 255,
        TensorDataset(images.float() / 255, torch.arange(6)),
    ):
        assert_same(scorer.score(form), expected)


def test_works_in_every_gradient_mode(scorer: Scorer) -> None:
    images = torch.rand(3, 1, 28, 28)
    expected = scorer.score(images)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert_same(scorer.score(images), expected)


def under_autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, under_autocast])
def test_first_images_in_any_mode_leave_the_engine_as_it_is(
    mode: Callable[[], AbstractContextManager[object]], model_type: type[nn.Module]
) -> None:
    torch.manual_seed(0)
    model, images = model_type(width=4), torch.rand(3, 1, 28, 28)
    expected, scorer = scorer_of(model).score(images), scorer_of(model)
    for surroundings in (mode, nullcontext):
        with surroundings():
            assert_same(scorer.score(images + 0), expected)
        assert scorer.engine.name == scorer.engine_for((1, 28, 28)).name == "fused chain"
    with mode():
        made_inside = scorer_of(model_type(width=4))
        made_inside.score(images)
    made_inside.score(images)
    assert made_inside.engine.name == "fused chain"


def test_a_comparison_that_fails_is_made_again(
    scorer: Scorer, model: ConvAutoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.rand(3, 1, 28, 28)
    expected = scorer_of(model).score(images)

    def fail(*_: object) -> None:
        raise MemoryError("no memory now")

    with monkeypatch.context() as now:
        now.setattr(verification, "_by_autograd", fail)
        assert_same(scorer.score(images), expected)
        assert scorer.engine.name == "any model" and "no memory now" in scorer.engine.reason
    assert_same(scorer.score(images), expected)
    assert scorer.engine.name == "fused chain"


@pytest.mark.parametrize("is_chain", [True, False])
@pytest.mark.parametrize("large", [(0,), (2,), (5,), (0, 5)])
def test_features_that_overflow_leave_the_others_as_they_are(large: tuple[int, ...], is_chain: bool) -> None:
    torch.manual_seed(0)
    model = RowAutoencoder(6, 8)
    if not is_chain:
        model.decoder[1] = nn.Softsign()
    features, weight = torch.randn(6, 6, 1, 1), model.encoder[1].weight
    huge = features.clone()
    huge[list(large)] *= 1e25
    others = [row for row in range(6) if row not in large]
    first, later = (Scorer(model, {"encoder.1.weight": torch.ones_like(weight)}) for _ in range(2))
    expected = later.score(features)
    scores, again = first.score(huge), later.score(huge)
    for column, after, whole in zip(scores[:4], again[:4], expected[:4], strict=True):
        torch.testing.assert_close(column, after, equal_nan=True)
        torch.testing.assert_close(column[others], whole[others])
    assert not scores.anomaly[list(large)].isfinite().any()
    first.score(features)
    assert first.engine.name == later.engine.name == ("fused chain" if is_chain else "any model")


def test_a_disagreement_is_remembered(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as now:
        now.setattr(verification, "_differing", lambda *_: ["cosine"])
        scorer.score(torch.rand(3, 1, 28, 28))
    scorer.score(torch.rand(3, 1, 28, 28))
    assert scorer.engine.name == "any model" and "cosine" in scorer.engine.reason


def test_weights_are_read_at_each_call_and_modes_restored(scorer: Scorer, model: ConvAutoencoder) -> None:
    images = torch.rand(3, 1, 28, 28)
    model.train()
    model.encoder.eval()
    before = scorer.score(images)
    assert model.training
    assert not model.encoder.training
    assert model.decoder[0].training
    with torch.no_grad():
        model.decoder[6].bias += 1
    assert not torch.allclose(scorer.score(images).reconstruction, before.reconstruction)


def on_any_model(scorer: Scorer) -> Scorer:
    """The same without the fused engine, which does not know the loss."""

    def loss(output: object, images: Tensor) -> SampleLosses:
        return loss_of(scorer.model)(output, images)

    return Scorer(scorer.model, scorer.references, scorer.alpha, loss)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_both_engines_score_the_same(device: str, model_type: type[nn.Module], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    scorer = scorer_of(model_type(3, (9, 14), width=4).to(device, dtype))
    other = on_any_model(scorer)
    images = torch.randint(0, 256, (37, 3, 9, 14), dtype=torch.uint8)
    for form in (images, images.float() / 255, images.numpy()):
        assert_same(scorer.score(form, batch_size=20), other.score(form))
        assert (scorer.engine.name, other.engine.name) == ("fused chain", "any model")
    assert "loss" in other.engine.reason and "squared_error" in other.engine.reason
    for batch in (images, images.float() / 255):
        assert_same(next(scorer.score_batches([batch])), next(other.score_batches([batch])))


def test_the_engine_depends_on_the_shape_of_the_images() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding="same"), nn.ReLU(), nn.Conv2d(2, 1, 3, padding="same"))
    scorer = Scorer(model, {"2.weight": torch.randn(1, 2, 3, 3)})
    assert scorer.engine is None
    for shape in ((1, 4, 5), (1, 7, 3)):
        engine = scorer.engine_for(shape)
        assert engine.name == "fused chain"
        assert engine.chain.image_shape == shape
        scorer.score(torch.rand(2, *shape))
        assert scorer.engine is engine
    assert scorer.engine_for((2, 4, 5)).name == "any model"


def test_a_model_that_is_no_chain_is_run_as_it_is(scorer: Scorer, model: ConvAutoencoder) -> None:
    images = torch.rand(3, 1, 28, 28)
    expected = scorer.score(images)
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    hooked = scorer_of(model)
    assert_same(hooked.score(images), expected)
    calls.clear()  # The first batch of a structure is also verified.
    assert_same(hooked.score(images), expected)
    assert calls == [1]
    assert "hooks" in hooked.engine.reason


class Counted(Dataset[Tensor]):
    """Random images that are drawn when they are asked for, and counted."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.drawn = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        self.drawn += 1
        return torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(index))


def test_batches_are_read_one_at_a_time(scorer: Scorer) -> None:
    images = Counted(10)
    assert len(scorer.score(images, batch_size=4).anomaly) == 10

    read = 0

    def endless() -> Iterator[Tensor]:
        nonlocal read
        while True:
            read += 1
            yield torch.rand(2, 1, 28, 28)

    scores = scorer.score_batches(endless())
    assert len(next(scores).anomaly) == 2
    assert len(next(scores).anomaly) == 2
    assert read == 2


def test_a_saved_detector_scores_the_same(model: ConvAutoencoder, scorer: Scorer, tmp_path) -> None:
    path = tmp_path / "detector.safetensors"
    Detector(model, scorer.references, count=5, alpha=0.2, preprocessing={}, training={}).save(path)
    images = torch.rand(3, 1, 28, 28)
    loaded = Scorer.load(path)
    assert loaded.alpha == 0.2
    assert loaded.layers == scorer.layers
    assert_same(loaded.score(images), scorer_of(model, 0.2).score(images))


def test_a_device_without_kernels_is_refused(model: ConvAutoencoder, scorer: Scorer) -> None:
    detector = Detector(model, scorer.references, count=5, preprocessing={}, training={})
    with pytest.raises(ValueError, match="meta"):
        Scorer.from_detector(detector, device="meta")


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.rand(2, 3, 28, 28), ValueError, r"\(N, 1, 28, 28\)"),
        (torch.rand(2, 1, 27, 28), ValueError, r"\(N, 1, 28, 28\)"),
        (torch.rand(0, 1, 28, 28), ValueError, "no images"),
        (torch.rand(28), ValueError, r"\(28,\)"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.int64), TypeError, "int64"),
        (torch.full((2, 1, 28, 28), torch.nan), ValueError, "NaN"),
        (torch.full((2, 1, 28, 28), torch.inf), ValueError, "infinite"),
        (np.full((2, 1, 28, 28), 2.0), ValueError, "expected 0 to 1"),
        ("images.png", FileNotFoundError, "images.png"),
        (3, TypeError, "int"),
    ],
)
def test_bad_images(scorer: Scorer, images: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        scorer.score(images)


def test_bad_settings(model: ConvAutoencoder, scorer: Scorer) -> None:
    weight = model.decoder[0].weight.detach()
    with pytest.raises(ValueError, match="alpha .* -1$"):
        Scorer(model, {"decoder.0.weight": weight}, alpha=-1)
    with pytest.raises(ValueError, match=r"decoder.0.weight .*\(4,\)"):
        Scorer(model, {"decoder.0.weight": torch.zeros(4)})
    with pytest.raises(ValueError, match="NaN or infinite"):
        Scorer(model, {"decoder.0.weight": weight * torch.nan})
    with pytest.raises(ValueError, match="decoder.9"):
        Scorer(model, {"decoder.9.weight": weight})
    with pytest.raises(ValueError, match="one or more"):
        Scorer(model, {})
    with pytest.raises(ValueError, match="batch_size .* 0$"):
        scorer.score(torch.rand(2, 1, 28, 28), batch_size=0)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.full((2, 1, 28, 28), torch.nan), ValueError, "image 3 .*NaN"),
        (torch.full((2, 1, 28, 28), -torch.inf), ValueError, "image 3 .*infinite"),
        (torch.full((2, 1, 28, 28), 1.5, dtype=torch.float64), ValueError, "image 3 .*1.5"),
        (torch.full((2, 1, 28, 28), 255.0).bfloat16(), ValueError, "image 3 .*255"),
        (torch.rand(0, 1, 28, 28), ValueError, "no images"),
        (torch.rand(2, 28, 28), ValueError, r"\(2, 28, 28\)"),
        (torch.rand(2, 28, 28, 1), ValueError, r"28, 28"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.int64), TypeError, "int64"),
        (np.zeros((2, 1, 28, 28)), TypeError, "ndarray"),
    ],
)
def test_batches_are_checked_as_all_images_are(
    scorer: Scorer, images: object, error: type[Exception], message: str
) -> None:
    scores = scorer.score_batches(iter([torch.rand(3, 1, 28, 28), images]))
    assert len(next(scores).anomaly) == 3
    with pytest.raises(error, match=message):
        next(scores)


def test_channels_that_come_last_are_told_how_to_transpose(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match=r"takes 1 channels.* transpose \(N, H, W, C\) to \(N, C, H, W\)"):
        scorer.score(np.zeros((2, 28, 28, 1), np.uint8))
