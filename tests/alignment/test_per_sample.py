from __future__ import annotations

import copy
import re
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from gradcon_ext import average_alignment, per_sample_alignment
from gradcon_ext.models import ConvAutoencoder
from support.model_families import FAMILIES, Attention, FunctionalWeights, ResidualBlock, SharedWeights, squared_output

pytestmark = [
    # vmap tells of operations that it runs in a loop, and the fallback of models that vmap cannot run.
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning"),
]


def per_sample_gradients(model: nn.Module, loss, inputs: Tensor) -> dict[str, Tensor]:
    """The definition: one backward pass a sample. (N, *shape) by name."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    rows = []
    for input in inputs:
        rows.append(torch.autograd.grad(loss(model(input[None]), input[None]).sum(), parameters))
    return {name: torch.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def references_of(model: nn.Module, several: int | None = None) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    lead = () if several is None else (several,)
    return {
        name: torch.randn(*lead, *parameter.shape, generator=generator, dtype=parameter.dtype).to(parameter.device)
        for name, parameter in model.named_parameters()
    }


@pytest.mark.parametrize("several", [None, 1, 3], ids=["one reference", "a stack of one", "a stack of three"])
@pytest.mark.parametrize("name", FAMILIES)
def test_agrees_with_a_per_sample_loop(device: str, name: str, several: int | None) -> None:
    family = FAMILIES[name]
    torch.manual_seed(0)
    model = family.build().double().eval().to(device)
    inputs = torch.randn(5, *family.shape, dtype=torch.float64).to(device)
    references = references_of(model, several)
    alignment = per_sample_alignment(model, family.loss, inputs, references)
    torch.testing.assert_close(alignment.loss, family.loss(model(inputs), inputs).detach())
    gradients = per_sample_gradients(model, family.loss, inputs)
    assert alignment.route.keys() == alignment.dot.keys() == gradients.keys()
    for parameter, gradient in gradients.items():
        flat = gradient.flatten(1)
        stacked = references[parameter][None] if several is None else references[parameter]
        dots = flat @ stacked.flatten(1).T
        cosines = dots / (flat.norm(dim=1)[:, None] * stacked.flatten(1).norm(dim=1)).clamp(min=1e-300)
        expected = (dots[:, 0], cosines[:, 0]) if several is None else (dots, cosines)
        close = {"rtol": 1e-9, "atol": 1e-11, "msg": lambda text, parameter=parameter: f"{parameter}: {text}"}
        torch.testing.assert_close(alignment.dot[parameter], expected[0], **close)
        torch.testing.assert_close(alignment.cosine[parameter], expected[1], **close)
        torch.testing.assert_close(alignment.sq_norm[parameter], flat.square().sum(1), **close)


@pytest.mark.parametrize("name", ["cae", "attention", "shared weights"])
def test_batches_do_not_change_what_comes_out(name: str) -> None:
    family = FAMILIES[name]
    torch.manual_seed(0)
    model = family.build().double().eval()
    inputs, targets = torch.randn(7, *family.shape).double(), torch.arange(7.0).double()
    sizes: list[int] = []

    def loss(output: Tensor, target: Tensor) -> Tensor:
        sizes.append(len(target))
        return squared_output(output, target) * (1 + target)

    def aligned(batch_size: int | None):
        sizes.clear()
        references = references_of(model)
        return per_sample_alignment(model, loss, inputs, references, targets, batch_size=batch_size)

    whole = aligned(None)
    assert max(sizes) == 7
    parts = aligned(3)
    assert max(sizes) == 3
    assert whole.route == parts.route
    torch.testing.assert_close(whole.loss, parts.loss)
    for parameter, cosine in whole.cosine.items():
        torch.testing.assert_close(cosine, parts.cosine[parameter])
        torch.testing.assert_close(whole.sq_norm[parameter], parts.sq_norm[parameter])


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("several", [None, 2], ids=["one reference", "a stack of two"])
def test_no_samples_have_no_alignments(name: str, several: int | None) -> None:
    family = FAMILIES[name]
    model = family.build().eval()
    references = references_of(model, several)
    alignment = per_sample_alignment(model, family.loss, torch.randn(0, *family.shape), references)
    assert alignment.loss.shape == (0,)
    for parameter in references:
        expected = (0,) if several is None else (0, several)
        assert alignment.cosine[parameter].shape == alignment.dot[parameter].shape == expected
        assert alignment.sq_norm[parameter].shape == (0,)


@pytest.mark.parametrize(
    ("batch_size", "targets", "message"),
    [
        (0, 3, "batch_size.* 0$"),
        (-2, 3, "batch_size.* -2$"),
        (None, 2, "3 inputs.* 2 targets"),
        (2, 4, "3 inputs.* 4 targets"),
        (2, 0, "3 inputs.* 0 targets"),
    ],
)
def test_bad_batches(batch_size: int | None, targets: int, message: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    inputs, references = torch.randn(3, 4), references_of(model)
    with pytest.raises(ValueError, match=message):
        per_sample_alignment(model, squared_output, inputs, references, torch.randn(targets, 4), batch_size=batch_size)


def align_with_references(model: nn.Module, inputs: Tensor) -> None:
    per_sample_alignment(model, squared_output, inputs, references_of(model), batch_size=2)


def align_with_each_other(model: nn.Module, inputs: Tensor) -> None:
    average_alignment(model, squared_output, inputs, list(references_of(model)), batch_size=2)


@pytest.mark.parametrize(("align", "passes"), [(align_with_references, 3), (align_with_each_other, 6)])
def test_the_activations_of_a_pass_are_gone_before_the_next(
    align: Callable[[nn.Module, Tensor], None], passes: int
) -> None:
    model = nn.Sequential(nn.Conv1d(4, 4, 1), nn.Tanh(), nn.Conv1d(4, 4, 1))
    events: list[str] = []

    def watch(module: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
        events.append("made")
        weakref.finalize(output, events.append, "gone")

    model[1].register_forward_hook(watch)
    align(model, torch.randn(6, 4, 5))  # The first batch of a structure is also verified.
    assert events[:2] == ["made", "gone"]
    events.clear()
    align(model, torch.randn(6, 4, 5))
    assert events == ["made", "gone"] * passes


def test_routes() -> None:
    def routes(model: nn.Module, *shape: int) -> dict[str, str]:
        model.eval()
        return per_sample_alignment(model, squared_output, torch.randn(3, *shape), references_of(model)).route

    residual = routes(nn.Sequential(ResidualBlock(4)), 4, 6, 6)
    assert residual["0.first.weight"] == "fused: conv_grad_alignment"
    assert re.fullmatch("formed: .*bias.*Conv2d", residual["0.second.bias"])
    assert re.fullmatch("formed: .*weight.*BatchNorm2d", residual["0.norm.weight"])
    shared = routes(SharedWeights(), 4, 6)
    assert shared["twice.weight"] == "fused: linear_grad_alignment"
    assert re.fullmatch("fallback: Conv1d .* 2 times", shared["conv.weight"])
    assert re.fullmatch("formed: .*bias.*Conv1d", shared["conv.bias"])
    attention = routes(Attention(), 5, 8)
    assert attention["attention.in_proj_weight"].startswith("fallback: MultiheadAttention ")
    assert attention["position"].startswith("fallback: Attention ")
    assert attention["head.weight"] == "fused: linear_grad_alignment"
    functional = routes(FunctionalWeights(), 6)
    assert re.fullmatch("fallback: .* 2 times.* 1 times", functional["layer.weight"])
    assert re.fullmatch("formed: .*bias.*Linear", functional["layer.bias"])


def test_the_first_dimension_must_be_the_sample() -> None:
    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.flatten(0, 1)).view_as(x)

    model = Folded()
    alignment = per_sample_alignment(model, squared_output, torch.randn(3, 2, 4), references_of(model))
    assert "first dimension is not the sample" in alignment.route["layer.weight"]


@pytest.fixture
def model() -> ConvAutoencoder:
    torch.manual_seed(0)
    return ConvAutoencoder(width=4).eval()


def loss(output: Tensor, images: Tensor) -> Tensor:
    return (output - images).square().flatten(1).mean(1)


def test_some_parameters_only_and_targets(model: ConvAutoencoder) -> None:
    images = torch.rand(6, 1, 28, 28)
    references = {"decoder.4.weight": model.decoder[4].weight.detach()}
    alignment = per_sample_alignment(model, loss, images, references, targets=images.flip(0))
    assert list(alignment.cosine) == ["decoder.4.weight"]
    torch.testing.assert_close(alignment.loss, loss(model(images), images.flip(0)).detach())


def test_leaves_no_trace_on_the_model_also_after_an_error(model: ConvAutoencoder) -> None:
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}

    def fail(output: Tensor, images: Tensor) -> Tensor:
        raise KeyError("from the loss")

    images = torch.rand(3, 1, 28, 28)
    alignment = per_sample_alignment(model, loss, images, references_of(model))
    with pytest.raises(KeyError, match="from the loss"):
        per_sample_alignment(model, fail, images, references_of(model))
    assert not alignment.loss.requires_grad
    for name, parameter in model.named_parameters():
        assert parameter.grad is None
        assert parameter.requires_grad
        assert torch.equal(parameter, before[name])
    assert not any(module._forward_hooks for module in model.modules())


def test_works_in_every_gradient_mode(model: ConvAutoencoder) -> None:
    images, references = torch.rand(3, 1, 28, 28), references_of(model)
    expected = per_sample_alignment(model, loss, images, references)
    for mode in (torch.no_grad, torch.inference_mode):
        for aligned in (model, copy.deepcopy(model)):  # one that is known, and one that is not
            with mode():
                alignment = per_sample_alignment(aligned, loss, images + 0, references)
            assert alignment.route == expected.route
            assert all(torch.equal(alignment.cosine[name], expected.cosine[name]) for name in references)


@pytest.mark.parametrize("name", ["cae", "residual", "attention"])
def test_a_model_made_in_inference_mode(name: str) -> None:
    family = FAMILIES[name]

    def align() -> dict[str, Tensor]:
        torch.manual_seed(0)
        model = family.build().eval()
        inputs = torch.rand(3, *family.shape)
        return per_sample_alignment(model, family.loss, inputs, references_of(model)).cosine

    expected = align()
    with torch.inference_mode():
        cosines = align()
    for parameter, cosine in cosines.items():
        torch.testing.assert_close(cosine, expected[parameter])


def test_several_threads_may_share_a_model(model: ConvAutoencoder) -> None:
    batches, references = torch.rand(12, 2, 1, 28, 28), references_of(model)
    expected = [per_sample_alignment(model, loss, images, references).cosine for images in batches]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda images: per_sample_alignment(model, loss, images, references).cosine, batches))
    assert len(list(model.parameters())) == 16
    for cosines, wanted in zip(results, expected, strict=True):
        assert all(torch.equal(cosines[name], wanted[name]) for name in references)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_a_reference_does_not_matter(model: ConvAutoencoder, scale: float) -> None:
    images, references = torch.rand(3, 1, 28, 28), references_of(model)
    scaled = {name: reference * scale for name, reference in references.items()}
    expected = per_sample_alignment(model, loss, images, references).cosine
    for name, cosine in per_sample_alignment(model, loss, images, scaled).cosine.items():
        torch.testing.assert_close(cosine, expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half_precision(model: ConvAutoencoder, dtype: torch.dtype) -> None:
    images, references = torch.rand(4, 1, 28, 28), references_of(model)
    expected = per_sample_alignment(model, loss, images, references)
    with torch.autocast("cpu", dtype=dtype):
        cast = per_sample_alignment(model, loss, images, references)
    halved = per_sample_alignment(model.to(torch.bfloat16), loss, images.bfloat16(), references)
    for alignment in (cast, halved):
        for name in ("decoder.2.weight", "decoder.6.weight", "decoder.6.bias"):
            assert alignment.cosine[name].dtype == torch.float32
            torch.testing.assert_close(alignment.cosine[name], expected.cosine[name], rtol=0, atol=0.05)


def test_the_fallback_keeps_to_its_memory(model: ConvAutoencoder) -> None:
    family = FAMILIES["attention"]
    torch.manual_seed(0)
    attention = family.build().eval()
    inputs, references = torch.randn(7, 5, 8), references_of(attention)
    expected = per_sample_alignment(attention, family.loss, inputs, references)
    for max_bytes in (1, 3000):
        alignment = per_sample_alignment(attention, family.loss, inputs, references, max_bytes=max_bytes)
        for name in references:
            torch.testing.assert_close(alignment.cosine[name], expected.cosine[name])


def test_a_model_that_vmap_cannot_run_is_told_of() -> None:
    family = FAMILIES["recurrent"]
    model = family.build().double().eval()
    inputs = torch.randn(2, *family.shape, dtype=torch.float64)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        per_sample_alignment(model, family.loss, inputs, references_of(model))
    assert any("slow" in str(warning.message) for warning in caught)


def test_a_parameter_that_the_loss_does_not_reach_has_cosine_zero_and_a_warning() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Linear(4, 4)
            self.unused = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            self.unused(x)
            return self.used(x)

    model = Unused()
    with pytest.warns(UserWarning, match="unused.weight, unused.bias"):
        alignment = per_sample_alignment(model, squared_output, torch.randn(3, 4), references_of(model))
    assert not alignment.cosine["unused.weight"].any()
    assert alignment.cosine["used.weight"].all()


def test_a_zero_gradient_or_reference_has_cosine_zero(model: ConvAutoencoder) -> None:
    references = references_of(model)
    references["decoder.0.weight"].zero_()
    alignment = per_sample_alignment(
        model,
        lambda output, images: loss(output, images) * torch.tensor([1.0, 0.0, 1.0]),
        torch.rand(3, 1, 28, 28),
        references,
    )
    assert not alignment.cosine["decoder.0.weight"].any()
    assert [bool(cosine) for cosine in alignment.cosine["decoder.6.weight"]] == [True, False, True]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.BatchNorm1d(4), r"1 \(BatchNorm1d\).*model.eval\(\)"),
        (nn.Dropout(0.5), r"1 \(Dropout\).*model.eval\(\)"),
    ],
)
def test_modules_that_mix_samples_or_draw_are_refused_in_training_mode(layer: nn.Module, message: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), layer)
    references = {"0.weight": model[0].weight.detach()}
    with pytest.raises(ValueError, match=message):
        per_sample_alignment(model.train(), squared_output, torch.randn(3, 4), references)
    per_sample_alignment(model.eval(), squared_output, torch.randn(3, 4), references)


def test_batch_norm_without_running_statistics_is_always_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)).eval()
    with pytest.raises(ValueError, match="1 .BatchNorm1d.*running statistics"):
        per_sample_alignment(model, squared_output, torch.randn(3, 4), {"0.weight": model[0].weight.detach()})


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ({"nothing": torch.zeros(1)}, "'nothing'.*'?0.weight"),
        ({"0.weight": torch.zeros(4, 5)}, r"\(4, 5\).*\(4, 4\).*\(K, 4, 4\)"),
        ({"0.weight": torch.full((4, 4), torch.nan)}, "NaN or infinite"),
    ],
)
def test_bad_references(references: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        per_sample_alignment(nn.Sequential(nn.Linear(4, 4)), squared_output, torch.randn(3, 4), references)


def test_a_loss_of_the_batch_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(ValueError, match=r"\(3,\).* \(\)"):
        per_sample_alignment(
            model, lambda output, _: output.sum(), torch.randn(3, 4), {"0.weight": model[0].weight.detach()}
        )
