from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from gradcon_ext.ops import conv_grad_alignment
from support.strategies import ConvCase, conv_cases
from support.threads import torch_threads


def on(device: str, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [tensor.to(device) for tensor in tensors]


def paper_layer(samples: int = 20) -> ConvCase:
    """The third decoder layer of the paper's autoencoder."""
    return ConvCase(samples, 1, 32, 32, (8, 8), (4, 4), (2, 2), (2, 2), (1, 1), (0, 0), transposed=True, seed=0)


# Few or large samples have their rows cut into strips.
LARGE = ConvCase(3, 1, 16, 16, (64, 64), (4, 4), (2, 2), (1, 1), (1, 1), (0, 0), transposed=False, seed=0)
ONE_LARGE = ConvCase(1, 1, 8, 16, (90, 70), (3, 3), (1, 1), (1, 1), (2, 2), (0, 0), transposed=True, seed=0)


@settings(max_examples=150)
@given(case=conv_cases(), non_contiguous=st.booleans())
def test_agrees_with_per_sample_autograd(device: str, case: ConvCase, non_contiguous: bool) -> None:
    tensors = case.tensors(torch.float64, non_contiguous)
    dot, sq_norm = conv_grad_alignment(*on(device, tensors), *case.arguments)
    expected_dot, expected_sq_norm = oracle.conv_grad_alignment(*tensors, *case.arguments)
    torch.testing.assert_close(dot.cpu(), expected_dot, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(sq_norm.cpu(), expected_sq_norm, rtol=1e-10, atol=1e-10)


@settings(max_examples=50)
@given(case=conv_cases(), several=st.integers(1, 4))
def test_several_references_share_the_formation_of_the_gradients(device: str, case: ConvCase, several: int) -> None:
    input, grad_output, weight = case.tensors(torch.float64)
    tensors = (input, grad_output, torch.randn(several, *weight.shape, dtype=torch.float64))
    dot, sq_norm = conv_grad_alignment(*on(device, tensors), *case.arguments)
    expected_dot, expected_sq_norm = oracle.conv_grad_alignment(*tensors, *case.arguments)
    assert dot.shape == (case.samples, several)
    torch.testing.assert_close(dot.cpu(), expected_dot, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(sq_norm.cpu(), expected_sq_norm, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(device: str, dtype: torch.dtype) -> None:
    case = paper_layer()
    tensors = [tensor.to(device, dtype) for tensor in case.tensors(torch.float32)]
    dot, sq_norm = conv_grad_alignment(*tensors, *case.arguments)
    expected_dot, expected_sq_norm = conv_grad_alignment(*(t.float() for t in tensors), *case.arguments)
    assert dot.dtype == sq_norm.dtype == torch.float32
    torch.testing.assert_close(dot, expected_dot)
    torch.testing.assert_close(sq_norm, expected_sq_norm)


def test_inputs_and_gradients_of_two_precisions_are_promoted() -> None:
    case = paper_layer(samples=3)
    input, grad_output, weight = case.tensors(torch.float32)
    dot, _ = conv_grad_alignment(input, grad_output.bfloat16(), weight, *case.arguments)
    expected, _ = conv_grad_alignment(input, grad_output.bfloat16().float(), weight, *case.arguments)
    assert torch.equal(dot, expected)


@settings(max_examples=50)
@given(case=conv_cases(), non_contiguous=st.booleans())
def test_float32_agrees_with_float64(device: str, case: ConvCase, non_contiguous: bool) -> None:
    tensors = case.tensors(torch.float32, non_contiguous)
    dot, sq_norm = (result.cpu() for result in conv_grad_alignment(*on(device, tensors), *case.arguments))
    wide = [tensor.double() for tensor in tensors]
    expected_dot, expected_sq_norm = oracle.conv_grad_alignment(*wide, *case.arguments)
    # An error of the dot is small beside the norms of its factors, which may be far larger than the dot.
    scale = expected_sq_norm.sqrt() * wide[2].norm()
    assert dot.dtype == sq_norm.dtype == torch.float32
    assert ((dot - expected_dot).abs() <= 1e-5 * scale).all()
    torch.testing.assert_close(sq_norm.double(), expected_sq_norm, rtol=1e-5, atol=1e-30)


def test_a_transposed_convolution_of_output_padding_alone() -> None:
    case = ConvCase(2, 1, 1, 1, (2,), (1,), (1,), (1,), (2,), (1,), transposed=True, seed=0)
    tensors = case.tensors(torch.float64)
    dot, _ = conv_grad_alignment(*tensors, *case.arguments)
    torch.testing.assert_close(dot, oracle.conv_grad_alignment(*tensors, *case.arguments)[0])


@pytest.mark.parametrize("case", [paper_layer(samples=200), paper_layer(samples=3), LARGE, ONE_LARGE], ids=str)
def test_same_bits_for_any_number_of_threads(case: ConvCase) -> None:
    tensors = case.tensors(torch.float32)
    with torch_threads(1):
        expected = conv_grad_alignment(*tensors, *case.arguments)
    for threads in (2, 3):
        with torch_threads(threads):
            results = conv_grad_alignment(*tensors, *case.arguments)
        assert all(map(torch.equal, results, expected))


@pytest.mark.parametrize("case", [paper_layer(samples=200), LARGE], ids=str)
def test_same_bits_whatever_the_neighbours_and_nearly_the_same_alone(case: ConvCase) -> None:
    input, grad_output, weight = case.tensors(torch.float32)
    together = conv_grad_alignment(input, grad_output, weight, *case.arguments)
    others, other_grads = input.roll(1, 0), grad_output.roll(1, 0)
    others[0], other_grads[0] = input[0], grad_output[0]
    first = conv_grad_alignment(others, other_grads, weight, *case.arguments)
    alone = conv_grad_alignment(input[:1], grad_output[:1], weight, *case.arguments)
    for whole, among_others, single in zip(together, first, alone, strict=True):
        assert torch.equal(whole[:1], among_others[:1])
        torch.testing.assert_close(single, whole[:1], rtol=1e-5, atol=1e-4)


def test_opcheck(device: str) -> None:
    case = paper_layer(samples=3)
    tensors = on(device, case.tensors(torch.float64))
    stride, padding, dilation, groups, transposed = case.arguments
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        input, grad_output = tensors[0].to(dtype), tensors[1].to(dtype)
        references = tensors[2].expand(2, *tensors[2].shape).to(torch.promote_types(dtype, torch.float32))
        torch.library.opcheck(
            torch.ops.gradcon_ext.conv_grad_alignment.default,
            (input, grad_output, references, list(stride), list(padding), list(dilation), groups, transposed),
        )


def test_compiles_without_a_graph_break() -> None:
    case = paper_layer(samples=3)
    tensors = case.tensors(torch.float32)

    def cosine(input: torch.Tensor, grad_output: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        dot, sq_norm = conv_grad_alignment(input, grad_output, weight, *case.arguments)
        return dot / (sq_norm.sqrt() * weight.norm())

    compiled = torch.compile(cosine, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*tensors), cosine(*tensors))


def test_exports() -> None:
    case = paper_layer(samples=3)
    tensors = case.tensors(torch.float32)

    class Cosine(torch.nn.Module):
        def forward(self, input: torch.Tensor, grad_output: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            return conv_grad_alignment(input, grad_output, weight, *case.arguments)[0]

    exported = torch.export.export(Cosine(), tensors).module()
    assert torch.equal(exported(*tensors), Cosine()(*tensors))


def test_one_number_stands_for_all_axes() -> None:
    case = paper_layer(samples=2)
    tensors = case.tensors(torch.float32)
    short = conv_grad_alignment(*tensors, stride=2, padding=2, transposed=True)
    assert all(map(torch.equal, short, conv_grad_alignment(*tensors, *case.arguments)))


def test_a_zero_gradient_aligns_with_nothing(device: str) -> None:
    input, grad_output, weight = on(device, paper_layer(samples=2).tensors(torch.float32))
    dot, sq_norm = conv_grad_alignment(
        input, torch.zeros_like(grad_output), weight, stride=2, padding=2, transposed=True
    )
    assert not dot.any()
    assert not sq_norm.any()


def test_a_nan_stays_with_its_sample(device: str) -> None:
    input, grad_output, weight = on(device, paper_layer(samples=20).tensors(torch.float32))
    input[3, 0, 2, 2] = torch.nan
    dot, sq_norm = conv_grad_alignment(input, grad_output, weight, stride=2, padding=2, transposed=True)
    assert dot.isnan().nonzero().tolist() == [[3]]
    assert sq_norm.isnan().nonzero().tolist() == [[3]]


@pytest.mark.parametrize(
    ("shapes", "settings"),
    [
        # Numbers whose products overflow 64 bits must not get as far as an address.
        (((1, 1, 1), (1, 1, 4), (1, 1, 1)), {"stride": 2**62, "padding": 2**63 - 1}),
        (((1, 1, 2**29, 2**29), (1, 1, 1, 1), (1, 1, 1, 1)), {"stride": 2**29}),
        (((1, 2**20, 2**10, 2**20), (1, 1, 1, 1), (1, 2**20, 1, 1)), {"stride": 2**20}),
    ],
)
def test_sizes_beyond_64_bits_are_refused(shapes, settings) -> None:
    tensors = [torch.zeros([1] * len(shape)).expand(shape) for shape in shapes]
    with pytest.raises(ValueError, match=r"^conv_grad_alignment: .*(below 2\^31|too large)"):
        conv_grad_alignment(*tensors, **settings)


def test_the_op_itself_keeps_to_its_memory() -> None:
    x = torch.randn(1, 1, 8)
    with pytest.raises((ValueError, RuntimeError), match=r"below 2\^31"):
        torch.ops.gradcon_ext.conv_grad_alignment(x, x, torch.randn(1, 1, 1, 5), [1], [0], [2**62], 1, False)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"input": torch.zeros(4, 2, 5, 5, dtype=torch.float64)},
            TypeError,
            "float64.*float32|float32.*float64",
        ),
        ({"input": torch.zeros(4, 2, 5, 5, dtype=torch.int64)}, TypeError, "int64"),
        ({"input": [[1.0]]}, TypeError, "input .*tensor.* list"),
        ({"input": torch.zeros(4, 2, 5)}, ValueError, r"\(4, 2, 5\)"),
        ({"reference": torch.zeros(2, 6, 2, 3, 2)}, ValueError, "spatial sizes|do not fit|does not fit"),
        ({"input": torch.zeros(4, 2, 5, 5, device="meta")}, ValueError, "meta"),
        ({"input": torch.zeros(3, 2, 5, 5)}, ValueError, "3 samples.* 4"),
        ({"input": torch.zeros(4, 3, 5, 5)}, ValueError, r"reference .*\(6, 3, 3, 3\)"),
        ({"input": torch.zeros(4, 2, 6, 5)}, ValueError, r"\(6, 5\)"),
        ({"stride": 0}, ValueError, "stride"),
        ({"stride": (1, 1, 1)}, ValueError, "stride .* 2 integers"),
        ({"padding": -1}, ValueError, "padding"),
        ({"dilation": 0}, ValueError, "dilation"),
        ({"groups": 0}, ValueError, "groups=0"),
        ({"groups": 4}, ValueError, "groups=4 .*divide"),
        ({"groups": 1.0}, ValueError, "groups=1.0 .*divide"),
    ],
)
def test_bad_arguments(change: dict[str, object], error: type[Exception], message: str) -> None:
    arguments = {
        "input": torch.zeros(4, 2, 5, 5),
        "grad_output": torch.zeros(4, 6, 3, 3),
        "reference": torch.zeros(6, 2, 3, 3),
    }
    conv_grad_alignment(**arguments)
    with pytest.raises(error, match=message):
        conv_grad_alignment(**(arguments | change))
