from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from gradcon_ext.ops import conv_grad_l1_norm
from support.strategies import ConvCase, conv_cases
from support.threads import torch_threads


def ordinary(samples: int = 17) -> ConvCase:
    """Strided, with more channels than a tile has."""
    return ConvCase(samples, 1, 14, 10, (9, 7), (3, 3), (2, 2), (1, 1), (1, 1), (0, 0), transposed=False, seed=0)


# Few or large samples have their rows cut into strips; and rows that no cache holds are taken some at a time.
LARGE = ConvCase(3, 1, 16, 16, (64, 64), (4, 4), (2, 2), (1, 1), (1, 1), (0, 0), transposed=False, seed=0)
ONE_LARGE = ConvCase(1, 1, 8, 16, (90, 70), (3, 3), (1, 1), (1, 1), (2, 2), (0, 0), transposed=True, seed=0)
MANY_LARGE = ConvCase(17, 2, 2, 3, (80, 75), (3, 3), (1, 1), (1, 1), (1, 1), (0, 0), transposed=False, seed=0)


@settings(max_examples=150)
@given(case=conv_cases(), non_contiguous=st.booleans())
def test_agrees_with_per_sample_autograd(case: ConvCase, non_contiguous: bool) -> None:
    input, grad_output, weight = case.tensors(torch.float64, non_contiguous)
    norms = conv_grad_l1_norm(input, grad_output, weight.shape[2:], *case.arguments)
    expected = oracle.conv_grad_l1_norm(input, grad_output, weight.shape[2:], *case.arguments)
    torch.testing.assert_close(norms, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", [ordinary(), LARGE, ONE_LARGE, MANY_LARGE], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_any_size(case: ConvCase, dtype: torch.dtype) -> None:
    input, grad_output, weight = case.tensors(dtype)
    norms = conv_grad_l1_norm(input, grad_output, weight.shape[2:], *case.arguments)
    expected = oracle.conv_grad_l1_norm(input.double(), grad_output.double(), weight.shape[2:], *case.arguments)
    assert norms.dtype == dtype
    torch.testing.assert_close(norms.double(), expected, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=0)


@settings(max_examples=50)
@given(case=conv_cases(), non_contiguous=st.booleans())
def test_float32_agrees_with_float64(case: ConvCase, non_contiguous: bool) -> None:
    input, grad_output, weight = case.tensors(torch.float32, non_contiguous)
    norms = conv_grad_l1_norm(input, grad_output, weight.shape[2:], *case.arguments)
    wide = conv_grad_l1_norm(input.double(), grad_output.double(), weight.shape[2:], *case.arguments)
    # A weight that many terms cancel in is not exact, but small beside the others.
    torch.testing.assert_close(norms.double(), wide, rtol=1e-5, atol=1e-5)


@settings(max_examples=50)
@given(
    samples=st.sampled_from([0, 1, 2, 17]),
    positions=st.integers(0, 6),
    inputs=st.integers(1, 20),
    outputs=st.integers(1, 20),
    seed=st.integers(0, 2**16),
)
def test_a_linear_layer_is_a_convolution_with_a_kernel_of_one(
    samples: int, positions: int, inputs: int, outputs: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    input = torch.randn(samples, positions, inputs, generator=generator, dtype=torch.float64)
    grad_output = torch.randn(samples, positions, outputs, generator=generator, dtype=torch.float64)
    norms = conv_grad_l1_norm(input.mT, grad_output.mT, 1)
    torch.testing.assert_close(norms, (grad_output.mT @ input).abs().sum((1, 2)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    input, grad_output, _ = (tensor.to(dtype) for tensor in ordinary().tensors(torch.float32))
    norms = conv_grad_l1_norm(input, grad_output, 3, 2, 1)
    assert norms.dtype == torch.float32
    assert torch.equal(norms, conv_grad_l1_norm(input.float(), grad_output.float(), 3, 2, 1))


def test_inputs_and_gradients_of_two_precisions_are_promoted() -> None:
    input, grad_output, _ = ordinary().tensors(torch.float32)
    norms = conv_grad_l1_norm(input, grad_output.bfloat16(), 3, 2, 1)
    assert torch.equal(norms, conv_grad_l1_norm(input, grad_output.bfloat16().float(), 3, 2, 1))


@pytest.mark.parametrize("case", [ordinary(200), ordinary(3), LARGE, ONE_LARGE, MANY_LARGE], ids=str)
def test_same_bits_for_any_number_of_threads(case: ConvCase) -> None:
    input, grad_output, weight = case.tensors(torch.float32)
    with torch_threads(1):
        expected = conv_grad_l1_norm(input, grad_output, weight.shape[2:], *case.arguments)
    for threads in (2, 3):
        with torch_threads(threads):
            assert torch.equal(conv_grad_l1_norm(input, grad_output, weight.shape[2:], *case.arguments), expected)


def test_same_bits_whatever_the_neighbours() -> None:
    input, grad_output, _ = ordinary(40).tensors(torch.float32)
    together = conv_grad_l1_norm(input, grad_output, 3, 2, 1)
    input[1:], grad_output[1:] = input[1:].roll(1, 0), grad_output[1:].roll(1, 0)
    assert torch.equal(conv_grad_l1_norm(input, grad_output, 3, 2, 1)[:1], together[:1])


def test_signs_do_not_count() -> None:
    input, grad_output, _ = ordinary().tensors(torch.float32)
    assert torch.equal(conv_grad_l1_norm(input, -grad_output, 3, 2, 1), conv_grad_l1_norm(input, grad_output, 3, 2, 1))


@pytest.mark.parametrize("scale", [1e-25, 1e15])
def test_numbers_whose_squares_float32_does_not_hold(scale: float) -> None:
    input, grad_output, _ = ordinary().tensors(torch.float32)
    norms = conv_grad_l1_norm(input, grad_output * scale, 3, 2, 1)
    expected = conv_grad_l1_norm(input.double(), (grad_output * scale).double(), 3, 2, 1)
    torch.testing.assert_close(norms.double(), expected, rtol=1e-5, atol=0)


def test_a_nan_and_an_infinite_number_stay_with_their_samples() -> None:
    input, grad_output, _ = ordinary().tensors(torch.float32)
    input[3, 0, 2, 2], grad_output[5, 1, 2, 2] = torch.nan, -torch.inf
    norms = conv_grad_l1_norm(input, grad_output, 3, 2, 1)
    assert norms.isnan().nonzero().tolist() == [[3]]
    assert norms.isposinf().nonzero().tolist() == [[5]]


def test_one_number_stands_for_all_axes() -> None:
    input, grad_output, _ = ordinary().tensors(torch.float32)
    short = conv_grad_l1_norm(input, grad_output, 3, 2, 1)
    assert torch.equal(short, conv_grad_l1_norm(input, grad_output, (3, 3), (2, 2), (1, 1), (1, 1)))


def test_opcheck() -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        input, grad_output, _ = (tensor.to(dtype) for tensor in ordinary(3).tensors(torch.float64))
        torch.library.opcheck(
            torch.ops.gradcon_ext.conv_grad_l1_norm.default,
            (input, grad_output, [3, 3], [2, 2], [1, 1], [1, 1], 1, False),
        )


def test_compiles_without_a_graph_break() -> None:
    input, grad_output, _ = ordinary(3).tensors(torch.float32)

    def norms(input: torch.Tensor, grad_output: torch.Tensor) -> torch.Tensor:
        return conv_grad_l1_norm(input, grad_output, 3, 2, 1)

    compiled = torch.compile(norms, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(input, grad_output), norms(input, grad_output))


def test_sizes_beyond_64_bits_are_refused() -> None:
    x = torch.zeros(1, 1, 1)
    with pytest.raises(ValueError, match=r"^conv_grad_l1_norm: .*below 2\^31"):
        conv_grad_l1_norm(x, x.expand(1, 1, 4), 1, stride=2**62, padding=2**63 - 1)
    wide = torch.zeros(1, 1, 1, 1).expand(1, 1, 2**29, 2**29)
    with pytest.raises(ValueError, match=r"^conv_grad_l1_norm: .*too large"):
        conv_grad_l1_norm(wide, x[None], 1, stride=2**29)


@pytest.mark.parametrize("kernel", [[2**62], [0], [], [1, 1], [1, 1, 1]])
def test_the_op_itself_keeps_to_its_memory(kernel: list[int]) -> None:
    x = torch.randn(1, 1, 8)
    with pytest.raises((ValueError, RuntimeError), match=r"below 2\^31|must be positive|one axis or two|dimensions"):
        torch.ops.gradcon_ext.conv_grad_l1_norm(x, x, kernel, [1], [0], [1], 1, False)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"input": torch.zeros(4, 2, 5, 5, dtype=torch.float64)}, TypeError, "float64.*float32|float32.*float64"),
        ({"input": torch.zeros(4, 2, 5, 5, dtype=torch.int64)}, TypeError, "int64"),
        ({"input": [[1.0]]}, TypeError, "input .*tensor.* list"),
        ({"input": torch.zeros(4, 2, 5)}, ValueError, r"\(4, 2, 5\)"),
        ({"input": torch.zeros(4, 2, 5, 5, device="meta")}, ValueError, "meta"),
        ({"input": torch.zeros(3, 2, 5, 5)}, ValueError, "3 samples.* 4"),
        ({"input": torch.zeros(4, 2, 6, 5)}, ValueError, r"\(6, 5\)"),
        ({"kernel": 2}, ValueError, r"kernel \(2, 2\)"),
        ({"kernel": 0}, ValueError, "kernel"),
        ({"kernel": (3, 3, 3)}, ValueError, "kernel .* 2 integers"),
        ({"stride": 0}, ValueError, "stride"),
        ({"padding": -1}, ValueError, "padding"),
        ({"dilation": 0}, ValueError, "dilation"),
        ({"groups": 4}, ValueError, "groups=4 .*divide"),
    ],
)
def test_bad_arguments(change: dict[str, object], error: type[Exception], message: str) -> None:
    arguments = {"input": torch.zeros(4, 2, 5, 5), "grad_output": torch.zeros(4, 6, 3, 3), "kernel": 3}
    conv_grad_l1_norm(**arguments)
    with pytest.raises(error, match=message):
        conv_grad_l1_norm(**(arguments | change))
