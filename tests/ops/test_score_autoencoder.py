from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import oracle
from gradcon_ext.chain import EncodedChain
from gradcon_ext.chain.tracing import trace_chain
from gradcon_ext.losses import reconstruction_of, squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.ops import score_autoencoder
from support.chain_arguments import arguments_of, assert_close, paper_arguments, random_arguments
from support.strategies import ChainCase, chain_cases
from support.threads import torch_threads


@settings(max_examples=200)
@given(case=chain_cases())
def test_agrees_with_per_sample_autograd(device: str, case: ChainCase) -> None:
    arguments = random_arguments(case, torch.float64)
    expected = oracle.score_autoencoder(*arguments, with_code=True)
    assert_close(score_autoencoder(*arguments.to(device), with_code=True), expected, 1e-9)


def is_saturated(case: ChainCase) -> bool:
    with torch.no_grad():
        probability = reconstruction_of(case.model(torch.float64)(case.images(torch.float64)))
    return bool(((probability < 1e-3) | (probability > 1 - 1e-3)).any())


@settings(max_examples=100)
@given(case=chain_cases())
def test_float32_agrees_with_float64(device: str, case: ChainCase) -> None:
    # Near 0 and 1 the cross entropy magnifies the rounding of a float32 probability, whoever computes it.
    assume(case.code is None or not is_saturated(case))
    arguments = random_arguments(case, torch.float32)
    results = score_autoencoder(*arguments.to(device))
    assert all(result.dtype == torch.float32 for result in results)
    reconstruction, latent, cosine = results
    expected = oracle.score_autoencoder(*arguments.double())
    assert_close((reconstruction, latent), expected[:2], 1e-5)
    # The cosine of a gradient that is nearly zero is that of its rounding errors.
    assert_close((cosine,), expected[2:], 1e-3)


@settings(max_examples=50)
@given(case=chain_cases(), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_bytes_are_divided_by_255(device: str, case: ChainCase, dtype: torch.dtype) -> None:
    arguments = random_arguments(case, dtype, torch.uint8)
    scaled = arguments._replace(images=arguments.images.to(dtype) / 255)
    results, expected = (score_autoencoder(*each.to(device)) for each in (arguments, scaled))
    assert_close(results, tuple(result.cpu() for result in expected), 1e-6)


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_the_models_of_the_paper(device: str, model_type: type[nn.Module]) -> None:
    arguments = paper_arguments(model_type)
    expected = oracle.score_autoencoder(*arguments.double())
    assert_close(score_autoencoder(*arguments.to(device)), expected, 1e-4)
    latent = expected[1]
    assert bool((latent > 0).all()) == (model_type is ConvVariationalAutoencoder)


def test_no_images(device: str) -> None:
    arguments = paper_arguments(samples=0).to(device)
    reconstruction, latent, cosine, code = score_autoencoder(*arguments, with_code=True)
    assert reconstruction.shape == latent.shape == (0,)
    assert cosine.shape == (0, 4)
    assert code.shape == (0, 8 * 3 * 3)


@pytest.mark.parametrize("samples", [1, 7, 8, 9, 65])
def test_neighbours_do_not_matter(device: str, samples: int) -> None:
    arguments = paper_arguments(ConvVariationalAutoencoder, samples).to(device)
    together = score_autoencoder(*arguments)
    for n in {0, samples // 2, samples - 1}:
        alone = score_autoencoder(*arguments._replace(images=arguments.images[n : n + 1]))
        assert_close(alone, tuple(result[n : n + 1].cpu() for result in together), 1e-6)


# Few or large images have their rows cut into strips, as many as suit their number and height.
@pytest.mark.parametrize("samples", [1, 2, 3, 5, 9, 17])
@pytest.mark.parametrize("size", [(5, 9), (28, 28), (64, 20), (131, 6), (37, 150)], ids=str)
def test_few_and_large_images(device: str, size: tuple[int, int], samples: int) -> None:
    arguments = paper_arguments(samples=samples, size=size)
    expected = oracle.score_autoencoder(*arguments.double(), with_code=True)
    assert_close(score_autoencoder(*arguments.to(device), with_code=True), expected, 1e-4)
    assert_close(score_autoencoder(*arguments.double().to(device), with_code=True), expected, 1e-9)
    in_bytes = arguments._replace(images=(arguments.images * 255).to(torch.uint8))
    expected = oracle.score_autoencoder(*in_bytes.double())
    assert_close(score_autoencoder(*in_bytes.to(device)), expected, 1e-4)
    last = in_bytes.images.to(device, memory_format=torch.channels_last)
    assert_close(score_autoencoder(*in_bytes.to(device)._replace(images=last)), expected, 1e-4)


def many_channels(images: int, between: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(images, between, 3, stride=2, padding=1),
        nn.BatchNorm2d(between),
        nn.GELU(),
        nn.Conv2d(between, between + 13, (2, 3), padding=(1, 2), dilation=2),
        nn.Tanh(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(between + 13, between, 2, bias=False),
        nn.LeakyReLU(),
        nn.ConvTranspose2d(between, images, 3, padding=1),
        nn.Sigmoid(),
    ).eval()


# Few images of many channels have these side by side.
@pytest.mark.parametrize("samples", [1, 2, 5])
@pytest.mark.parametrize(("images", "between"), [(1, 16), (3, 19), (8, 32), (17, 40)])
def test_few_images_of_many_channels(device: str, samples: int, images: int, between: int) -> None:
    torch.manual_seed(0)
    model = many_channels(images, between)
    names = ["3.weight", "6.weight", "8.weight"]
    chain = trace_chain(model, names, squared_error, (images, 17, 19))
    references = [torch.randn_like(model.get_parameter(name)) for name in names]
    pixels = torch.rand(samples, images, 17, 19)
    arguments = arguments_of(chain, model, references, pixels)
    expected = oracle.score_autoencoder(*arguments.double(), with_code=True)
    assert_close(score_autoencoder(*arguments.to(device), with_code=True), expected, 1e-4)
    assert_close(score_autoencoder(*arguments.double().to(device), with_code=True), expected, 1e-9)
    last = arguments.images.to(device, memory_format=torch.channels_last)
    assert_close(score_autoencoder(*arguments.to(device)._replace(images=last)), expected[:3], 1e-4)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_few_images_of_many_channels_with_gradients_beyond_float32(device: str, scale: float) -> None:
    arguments = paper_arguments(samples=1, width=16)
    arguments.parameters[-2].mul_(scale)
    arguments.references[-1].mul_(scale)
    expected = oracle.score_autoencoder(*arguments.double())
    assert_close(score_autoencoder(*arguments.to(device))[2:], expected[2:], 1e-4)


@pytest.mark.parametrize(
    ("samples", "size", "width"),
    [
        (100, (28, 28), 4),
        (1, (28, 28), 4),
        (1, (200, 200), 4),
        (3, (200, 40), 4),
        (1, (37, 150), 4),
        (1, (28, 28), 32),
        (3, (28, 28), 32),
        (1, (80, 90), 20),
    ],
    ids=str,
)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_bits_for_any_number_of_threads(threads: int, samples: int, size: tuple[int, int], width: int) -> None:
    arguments = paper_arguments(samples=samples, size=size, width=width)
    expected = score_autoencoder(*arguments, with_code=True)
    with torch_threads(threads):
        assert all(map(torch.equal, score_autoencoder(*arguments, with_code=True), expected))


def test_strides_do_not_matter(device: str) -> None:
    arguments = paper_arguments().to(device)
    expected = score_autoencoder(*arguments)

    def strided(tensor: Tensor) -> Tensor:
        return torch.stack([tensor, tensor], -1)[..., 0].movedim(0, -1).contiguous().movedim(-1, 0)

    scattered = arguments._replace(
        images=strided(arguments.images),
        parameters=[strided(parameter) for parameter in arguments.parameters],
        references=[strided(one) for one in arguments.references],
    )
    assert all(map(torch.equal, score_autoencoder(*scattered), expected))


def test_a_zero_reference_or_gradient_aligns_with_nothing(device: str) -> None:
    arguments = paper_arguments().to(device)
    arguments.references[1].zero_()
    *_, cosine = score_autoencoder(*arguments)
    assert not cosine[:, 1].any()
    assert cosine[:, 0].all()
    # Without its last weight the reconstruction does not depend on the layers before.
    arguments.parameters[-2].zero_()
    *_, cosine = score_autoencoder(*arguments)
    assert not cosine[:, :3].any()
    assert cosine[:, 3].all()


def test_references_of_any_length_align_the_same(device: str) -> None:
    arguments = paper_arguments().to(device)
    *_, cosine = score_autoencoder(*arguments)
    for factor in (1e-30, 1e30):
        scaled = arguments._replace(references=[one * factor for one in arguments.references])
        torch.testing.assert_close(score_autoencoder(*scaled)[2], cosine)


def test_a_nan_stays_with_its_sample(device: str) -> None:
    arguments = paper_arguments().to(device)
    expected = score_autoencoder(*arguments)
    arguments.images[3, 0, 2, 2] = torch.nan
    results = score_autoencoder(*arguments)
    assert results[0].isnan().nonzero().tolist() == [[3]]
    others = [n for n in range(20) if n != 3]
    assert all(torch.equal(one[others], other[others]) for one, other in zip(results, expected, strict=True))


def test_a_saturated_reconstruction_is_finite(device: str) -> None:
    arguments = paper_arguments(ConvVariationalAutoencoder).to(device)
    for bias in (-1e4, -60.0, 60.0, 1e4):
        arguments.parameters[-1].fill_(bias)
        results = score_autoencoder(*arguments)
        assert all(bool(result.isfinite().all()) for result in results)
        assert_close(results[:1], oracle.score_autoencoder(*arguments.to("cpu"))[:1], 1e-4)


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
@pytest.mark.parametrize("images", [torch.float32, torch.float64, torch.uint8])
@pytest.mark.parametrize("with_code", [False, True])
def test_opcheck(device: str, model_type: type[nn.Module], images: torch.dtype, with_code: bool) -> None:
    dtype = torch.float64 if images == torch.float64 else torch.float32
    arguments = paper_arguments(model_type, 3, dtype).to(device)
    pixels = (arguments.images * 255).to(torch.uint8) if images == torch.uint8 else arguments.images
    op = torch.ops.gradcon_ext.score_autoencoder.default
    torch.library.opcheck(op, (*arguments._replace(images=pixels).of_op, with_code))


def test_compiles_without_a_graph_break() -> None:
    arguments = paper_arguments(samples=3)

    def anomaly(images: Tensor) -> Tensor:
        reconstruction, latent, cosine = score_autoencoder(*arguments._replace(images=images))
        return reconstruction + latent - 0.12 * cosine.mean(1)

    compiled = torch.compile(anomaly, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(arguments.images), anomaly(arguments.images))


def test_exports() -> None:
    arguments = paper_arguments(samples=3)

    class Cosine(nn.Module):
        def forward(self, images: Tensor, parameters: list[Tensor], references: list[Tensor]) -> Tensor:
            return score_autoencoder(images, parameters, references, arguments.chain)[2]

    exported = torch.export.export(Cosine(), tuple(arguments[:3])).module()
    assert torch.equal(exported(*arguments[:3]), Cosine()(*arguments[:3]))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": torch.zeros(2, 28, 28)}, ValueError, r"images .*\(N, C, H, W\).*\(2, 28, 28\)"),
        ({"images": torch.zeros(2, 1, 28, 28).double()}, TypeError, "images .*torch.float64.*parameters"),
        ({"images": torch.zeros(2, 1, 28, 28).long()}, TypeError, "images .*torch.int64.*parameters"),
        ({"images": torch.zeros(2, 1, 28, 28, device="meta")}, ValueError, "images .*meta.*parameters"),
        ({"images": [[0.0]]}, TypeError, "images .*tensor.* list"),
        ({"images": torch.zeros(2, 1, 27, 28)}, ValueError, "shapes of a convolution"),
        ({"parameters": []}, ValueError, "parameters .*empty"),
        ({"parameters": [torch.zeros(1).half()]}, TypeError, "parameters .*float32 or float64"),
        ({"parameters": [torch.zeros(1)]}, ValueError, "convolution is 4-dimensional"),
        ({"references": [torch.zeros(8, 8, 4, 4).double()] * 4}, TypeError, r"references\[0\] .*torch.float64"),
        ({"references": []}, ValueError, "references .*empty"),
        ({"references": [torch.zeros(8, 8, 4, 5)] * 4}, ValueError, "shape of its weight"),
        ({"chain": ([], [], 0)}, TypeError, "chain .*EncodedChain.* tuple"),
        ({"program": [0] * 14}, ValueError, "14 integers.* 16 constants.* 14"),
        ({"program": [99] * 14 * 16}, ValueError, "^score_autoencoder: .*kind of layer"),
        ({"constants": [0.0]}, ValueError, " 1 constants"),
        ({"loss": 2}, ValueError, "unknown loss"),
        ({"loss": 1}, ValueError, "one bottleneck"),
    ],
)
def test_bad_arguments(change: dict[str, object], error: type[Exception], message: str) -> None:
    arguments = paper_arguments(samples=2)
    in_chain = {name: value for name, value in change.items() if name in EncodedChain._fields}
    arguments = arguments._replace(chain=arguments.chain._replace(**in_chain))
    others = {name: value for name, value in change.items() if name not in in_chain}
    with pytest.raises(error, match=message):
        score_autoencoder(**(arguments._asdict() | others))
