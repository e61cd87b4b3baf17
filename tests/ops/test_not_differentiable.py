from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from gradcon_ext.ops import (
    conv_grad_alignment,
    conv_grad_l1_norm,
    linear_grad_alignment,
    objective_gradient,
    running_mean_cosine_,
    score_autoencoder,
)
from support.chain_arguments import paper_arguments

compiled = torch.ops.gradcon_ext
IMAGES, *OTHERS = paper_arguments(samples=1)


def conv(x: Tensor) -> Tensor:
    return conv_grad_alignment(x.view(1, 1, 4, 4), torch.ones(1, 1, 4, 4), torch.ones(1, 1, 1, 1))[0].sum()


def norm(x: Tensor) -> Tensor:
    return conv_grad_l1_norm(x.view(1, 1, 4, 4), torch.ones(1, 1, 4, 4), 1).sum()


def linear(x: Tensor) -> Tensor:
    return linear_grad_alignment(x.view(2, 8), torch.ones(2, 3), torch.ones(3, 8))[0].sum()


def mean(x: Tensor) -> Tensor:
    return running_mean_cosine_(torch.ones(16), x, 3)


def score(x: Tensor) -> Tensor:
    return score_autoencoder(IMAGES * x[0], *OTHERS)[2].sum()


def objective(x: Tensor) -> Tensor:
    return objective_gradient(IMAGES * x[0], *OTHERS, None, 0.1).cosine.sum()


OPS = {
    "conv_grad_alignment": conv,
    "conv_grad_l1_norm": norm,
    "linear_grad_alignment": linear,
    "running_mean_cosine_": mean,
    "score_autoencoder": score,
    "objective_gradient": objective,
}
DERIVATIVES: dict[str, Callable[[Callable[[Tensor], Tensor], Tensor], object]] = {
    "backward": lambda function, x: function(x.clone().requires_grad_()).backward(),
    "grad": lambda function, x: torch.func.grad(function)(x),
    "jvp": lambda function, x: torch.func.jvp(function, (x,), (x,)),
}


def raw_conv(x: Tensor) -> Tensor:
    ones = (torch.ones(1, 1, 4, 4), torch.ones(1, 1, 1, 1, 1))
    return compiled.conv_grad_alignment(x.view(1, 1, 4, 4), *ones, [1, 1], [0, 0], [1, 1], 1, False)[0].sum()


def raw_norm(x: Tensor) -> Tensor:
    ones = torch.ones(1, 1, 4, 4)
    return compiled.conv_grad_l1_norm(x.view(1, 1, 4, 4), ones, [1, 1], [1, 1], [0, 0], [1, 1], 1, False).sum()


def raw_linear(x: Tensor) -> Tensor:
    return compiled.linear_grad_alignment(x.view(2, 1, 8), torch.ones(2, 1, 3), torch.ones(1, 3, 8))[0].sum()


def raw_mean(x: Tensor) -> Tensor:
    return compiled.running_mean_cosine_(torch.ones(16), x, 3)


def raw_score(x: Tensor) -> Tensor:
    parameters, references, chain = OTHERS
    return compiled.score_autoencoder(IMAGES, [parameters[0] * x[0], *parameters[1:]], references, *chain)[2].sum()


def raw_objective(x: Tensor) -> Tensor:
    parameters, references, chain = OTHERS
    return compiled.objective_gradient(IMAGES * x[0], parameters, references, *chain, None, 0.1)[3].sum()


RAW = {
    "conv_grad_alignment": raw_conv,
    "conv_grad_l1_norm": raw_norm,
    "linear_grad_alignment": raw_linear,
    "running_mean_cosine_": raw_mean,
    "score_autoencoder": raw_score,
    "objective_gradient": raw_objective,
}
DERIVATIVES |= {
    "jacrev": lambda function, x: torch.func.jacrev(function)(x),
    "jacfwd": lambda function, x: torch.func.jacfwd(function)(x),
    "hessian": lambda function, x: torch.func.hessian(function)(x),
    "dual numbers": lambda function, x: forward_derivative(function, x),
}


def forward_derivative(function: Callable[[Tensor], Tensor], x: Tensor) -> object:
    with forward_ad.dual_level():
        return function(forward_ad.make_dual(x, x))


def test_every_op_is_here() -> None:
    names = {name.partition("::")[2] for name in torch._C._dispatch_get_all_op_names() if "gradcon_ext::" in name}
    assert names == set(RAW) == set(OPS)


# Of torch itself, at the first forward derivative, and where it runs an op for one row after the other.
@pytest.mark.filterwarnings("ignore:.torch.jit.script", "ignore:There is a performance drop")
@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("op", RAW)
def test_a_derivative_of_the_raw_op_is_an_error_too(op: str, derivative: str) -> None:
    with pytest.raises(RuntimeError, match=f"{op} is not differentiable|{op}; the fallback|{op}. We could not"):
        DERIVATIVES[derivative](RAW[op], torch.ones(16))


@pytest.mark.parametrize("op", RAW)
def test_the_raw_op_gives_the_same_values_with_a_graph_and_without(op: str) -> None:
    x = torch.rand(16) + 0.5
    expected, result = RAW[op](x), RAW[op](x.clone().requires_grad_())
    assert (expected.requires_grad, result.requires_grad) == (False, True)
    assert torch.equal(result.detach(), expected)
    with torch.no_grad():
        assert not RAW[op](x.clone().requires_grad_()).requires_grad


@pytest.mark.parametrize("derivative", ["backward", "grad", "jvp", "dual numbers"])
@pytest.mark.parametrize("update", [compiled.running_mean_cosine_, running_mean_cosine_])
def test_a_mean_that_a_derivative_is_asked_for_by_is_not_overwritten(
    update: Callable[..., Tensor], derivative: str
) -> None:
    def new_mean(mean: Tensor) -> Tensor:
        mean = mean * 1
        update(mean, torch.ones(16), 3)
        return mean.sum()

    with pytest.raises(RuntimeError, match=r"running_mean_cosine_.*overwrites"):
        DERIVATIVES[derivative](new_mean, torch.ones(16))


UPDATES = {"function": running_mean_cosine_, "raw op": compiled.running_mean_cosine_}
MODES = [torch.enable_grad, torch.no_grad, torch.inference_mode]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("update", UPDATES)
def test_a_graph_notices_in_every_mode_that_the_mean_was_overwritten(update: str, mode: Callable[[], Any]) -> None:
    weight, mean = torch.ones(3, requires_grad=True), torch.ones(3)
    loss = (weight * mean).sum()
    version = mean._version
    with mode():
        UPDATES[update](mean, torch.zeros(3), 1)
    assert mean._version == version + 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("update", UPDATES)
def test_a_mean_made_in_inference_mode_is_updated(update: str, mode: Callable[[], Any]) -> None:
    with torch.inference_mode():
        mean = torch.ones(3)
    with mode():
        UPDATES[update](mean, torch.zeros(3), 1)
    assert mean.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("functions", [OPS, RAW], ids=["function", "raw op"])
@pytest.mark.parametrize("op", RAW)
def test_vmap_is_right_or_an_error_that_names_the_op(op: str, functions: dict[str, Callable[..., Tensor]]) -> None:
    rows = torch.rand(3, 16) + 0.5
    if op in ("conv_grad_alignment", "conv_grad_l1_norm", "linear_grad_alignment"):
        torch.testing.assert_close(
            torch.func.vmap(functions[op])(rows), torch.stack([functions[op](row) for row in rows])
        )
    else:
        with pytest.raises(RuntimeError, match=f"rule not implemented for gradcon_ext::{op}"):
            torch.func.vmap(functions[op])(rows)


@pytest.mark.parametrize("op", RAW)
def test_opcheck_of_what_requires_gradients(op: str) -> None:
    """All but its comparison of gradients, of which there are none."""
    seen = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func.namespace == "gradcon_ext":
                seen.append(args)
            return func(*args, **(kwargs or {}))

    with Recorder():
        RAW[op](torch.rand(16) + 0.5)
    ((first, *others),) = seen
    if op == "running_mean_cosine_":
        others[0] = others[0].clone().requires_grad_()
    else:
        first = first.clone().requires_grad_()
    kernels = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(getattr(compiled, op).default, (first, *others), test_utils=kernels)
    with pytest.raises(torch.testing._internal.optests.generate_tests.OpCheckError, match=f"{op} is not different"):
        torch.library.opcheck(getattr(compiled, op).default, (first, *others), test_utils="test_aot_dispatch_dynamic")


# Of torch itself, at the first forward derivative.
@pytest.mark.filterwarnings("ignore:.torch.jit.script")
@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("op", OPS)
def test_a_derivative_is_an_error_that_names_the_op(op: str, derivative: str) -> None:
    with pytest.raises(RuntimeError, match=f"{op} is not differentiable"):
        DERIVATIVES[derivative](OPS[op], torch.ones(16))


@pytest.mark.parametrize("op", OPS)
def test_the_values_are_the_same_with_a_graph_and_without(op: str) -> None:
    x = torch.rand(16) + 0.5
    expected = OPS[op](x)
    result = OPS[op](x.clone().requires_grad_())
    assert not expected.requires_grad
    assert torch.equal(result.detach(), expected)
    with torch.no_grad():
        assert not OPS[op](x.clone().requires_grad_()).requires_grad


# Of torch itself, while it compiles.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*deprecated:FutureWarning")
@pytest.mark.parametrize(
    "op", ["conv_grad_alignment", "conv_grad_l1_norm", "linear_grad_alignment", "running_mean_cosine_"]
)
def test_a_compiled_graph_with_a_derivative_is_an_error_that_names_the_op(op: str) -> None:
    torch._dynamo.reset()
    whole = torch.compile(OPS[op], fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(whole(torch.ones(16)), OPS[op](torch.ones(16)))
    with pytest.raises(Exception, match=f"{op} is not differentiable"):
        whole(torch.ones(16, requires_grad=True))
