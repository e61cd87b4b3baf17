from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import oracle
from gradcon_ext.chain.chain import LAYER_FIELDS, LayerKind
from gradcon_ext.chain.tracing import trace_chain
from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.ops import objective_gradient
from support.chain_arguments import Arguments, arguments_of, assert_close, paper_arguments
from support.strategies import ChainCase, chain_cases
from support.threads import torch_threads


def trainable_arguments(case: ChainCase, dtype: torch.dtype, images: torch.dtype | None = None) -> Arguments:
    """Of a chain without normalisation, whose constrained layers come after its bottleneck."""
    model = case.model(dtype)
    assume(not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in model.modules()))
    references = case.references(model)
    if case.code is not None:
        references = {name: value for name, value in references.items() if name.startswith("decoder")}
    assume(references)
    chain = trace_chain(model, list(references), case.loss, case.image_shape)
    return arguments_of(chain, model, list(references.values()), case.images(images or dtype))


def noise_of(arguments: Arguments) -> Tensor | None:
    program, fields = arguments.chain.program, len(LAYER_FIELDS)
    kinds = program[::fields]
    if LayerKind.BOTTLENECK not in kinds:
        return None
    code = program[fields * kinds.index(LayerKind.BOTTLENECK) + LAYER_FIELDS.index("channels")]
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(arguments.images), code, generator=generator, dtype=arguments.parameters[0].dtype)


def flat(results: tuple) -> list[Tensor]:
    return [tensor for part in results for tensor in ([part] if isinstance(part, Tensor) else part)]


@settings(max_examples=150)
@given(case=chain_cases(st.sampled_from([1, 2, 5, 9])), alpha=st.sampled_from([0.03, 1.0, -2.0]))
def test_agrees_with_double_backward(case: ChainCase, alpha: float) -> None:
    arguments = trainable_arguments(case, torch.float64)
    noise = noise_of(arguments)
    results = flat(objective_gradient(*arguments, noise, alpha))
    expected = flat(oracle.objective_gradient(*arguments, noise, alpha))
    assert len(results) == len(expected)
    for result, wanted in zip(results, expected, strict=True):
        scale = max(1.0, wanted.abs().max().item())
        torch.testing.assert_close(result / scale, wanted / scale, rtol=1e-9, atol=1e-9)


@settings(max_examples=50)
@given(case=chain_cases(st.sampled_from([1, 5])), images=st.sampled_from([torch.float64, torch.uint8]))
def test_without_a_constraint_it_is_the_gradient_of_the_loss(case: ChainCase, images: torch.dtype) -> None:
    arguments = trainable_arguments(case, torch.float64, images)
    noise = noise_of(arguments)
    results = objective_gradient(*arguments, noise, 0.0)
    expected = oracle.objective_gradient(*arguments, noise, 0.0)
    assert_close(results[:2], expected[:2], 1e-9)
    for result, wanted in zip(results.gradients, expected[3], strict=True):
        torch.testing.assert_close(result, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
@pytest.mark.parametrize("samples", [1, 37, 64])
def test_the_models_of_the_paper(model_type: type[nn.Module], samples: int) -> None:
    arguments = paper_arguments(model_type, samples)
    noise = noise_of(arguments)
    results = flat(objective_gradient(*arguments, noise, 0.03))
    doubled = noise if noise is None else noise.double()
    for result, wanted in zip(
        results, flat(oracle.objective_gradient(*arguments.double(), doubled, 0.03)), strict=True
    ):
        assert result.dtype == torch.float32
        assert (result - wanted).norm() <= 1e-4 * wanted.norm()


@pytest.mark.parametrize(("samples", "size"), [(5, (152, 128)), (3, (260, 250))], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_whose_gradients_are_summed_in_groups(samples: int, size: tuple[int, int], dtype: torch.dtype) -> None:
    arguments = paper_arguments(samples=samples, size=size, dtype=dtype)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    for alpha in (0.03, 0.0):
        results = objective_gradient(*arguments, None, alpha)
        expected = oracle.objective_gradient(*arguments.double(), None, alpha)
        for result, wanted in zip(results.gradients, expected[3], strict=True):
            assert (result - wanted).norm() <= tolerance * wanted.norm()


@pytest.mark.parametrize(("samples", "size"), [(70, (28, 28)), (3, (40, 132)), (9, (130, 130))], ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_same_bits_for_any_number_of_threads(threads: int, samples: int, size: tuple[int, int]) -> None:
    arguments = paper_arguments(samples=samples, size=size)
    expected = flat(objective_gradient(*arguments, None, 0.03))
    with torch_threads(threads):
        assert all(map(torch.equal, flat(objective_gradient(*arguments, None, 0.03)), expected))


def test_a_zero_reference_constrains_nothing() -> None:
    arguments = paper_arguments(dtype=torch.float64)
    for one in arguments.references:
        one.zero_()
    results = objective_gradient(*arguments, None, 0.5)
    assert not results.cosine.any()
    for result, wanted in zip(results.gradients, objective_gradient(*arguments, None, 0.0).gradients, strict=True):
        torch.testing.assert_close(result, wanted)


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
def test_opcheck(model_type: type[nn.Module]) -> None:
    arguments = paper_arguments(model_type, 3)
    op = torch.ops.gradcon_ext.objective_gradient.default
    torch.library.opcheck(op, (*arguments.of_op, noise_of(arguments), 0.03))


def test_a_normalisation_is_not_trained() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 3, padding=1)).eval()
    chain = trace_chain(model, ["2.weight"], squared_error, (1, 4, 4))
    arguments = arguments_of(chain, model, [torch.ones(1, 1, 3, 3)], torch.rand(2, 1, 4, 4))
    with pytest.raises(ValueError, match="affine layer"):
        objective_gradient(*arguments, None, 0.1)


def test_bad_arguments() -> None:
    arguments = paper_arguments(ConvVariationalAutoencoder, 2)
    with pytest.raises(ValueError, match="bottleneck.*noise"):
        objective_gradient(*arguments, None, 0.1)
    with pytest.raises(ValueError, match=r"noise .*\(N, code\)"):
        objective_gradient(*arguments, torch.zeros(2, 1), 0.1)
    with pytest.raises(ValueError, match="images.* none"):
        objective_gradient(*arguments._replace(images=arguments.images[:0]), None, 0.1)
