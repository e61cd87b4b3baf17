"""Models with hazards at random: every cosine is that of a float64 loop over single samples, or there is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcon_ext import Alignment, per_sample_alignment
from support.random_hazards import LOW_PRECISION, Construction, construction, images_of, quietly


def loss_of(output: Any, images: Tensor) -> Tensor:
    output = getattr(output, "reconstruction", output)
    return (output.to(images.dtype) - images).square().flatten(1).sum(1)


def references_of(model: nn.Module) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {name: torch.randn(one.shape, generator=generator) for name, one in model.named_parameters()}


def loop(
    make: Callable[[], nn.Module], references: dict[str, Tensor], images: Tensor, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Cosines (N,) by name, and losses by the name "loss"; each sample of a new model."""
    rows = [_row(make().to(dtype), references, image[None].to(dtype)) for image in images]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _row(model: nn.Module, references: dict[str, Tensor], image: Tensor) -> dict[str, Tensor]:
    model.requires_grad_()
    parameters = dict(model.named_parameters())
    loss = loss_of(model(image), image).sum()
    gradients: tuple[Tensor | None, ...] = (None,) * len(references)
    if loss.requires_grad:
        gradients = torch.autograd.grad(loss, [parameters[name] for name in references], allow_unused=True)
    row = {"loss": loss.detach().double()}
    for (name, reference), gradient in zip(references.items(), gradients, strict=True):
        row[name] = torch.zeros((), dtype=torch.float64)
        if gradient is not None and 0 < gradient.norm() <= 1e-7:
            row[name] = row[name] + torch.inf  # of a bias before a normalisation: nothing but rounding
        elif gradient is not None and gradient.norm() != 0:
            row[name] = torch.cosine_similarity(gradient.double().flatten(), reference.double().flatten(), 0, eps=0)
    return row


def check(seed: int) -> list[str]:
    """Compare; return the routes and refusals."""
    drawn = construction(seed)
    model = _in_mode(drawn.make(), seed)
    references = references_of(model)
    found: list[str] = []
    for call, size in enumerate(drawn.sizes):
        if call == 1 and drawn.change is not None:
            drawn.change(model)
            references = references_of(model)
        images = drawn.layout(images_of(seed + call, size)).to(next(model.parameters()).dtype)
        results = drawn.run(lambda: per_sample_alignment(model, loss_of, images, references))  # noqa: B023
        found += [_judged(drawn, call, seed, result, references, images) for result in results]
    return found


def _in_mode(model: nn.Module, seed: int) -> nn.Module:
    return model if seed % 5 == 0 else model.eval()


def _judged(
    drawn: Construction, call: int, seed: int, result: object, references: dict[str, Tensor], images: Tensor
) -> str:
    def make() -> nn.Module:
        model = _in_mode(drawn.make(), seed)
        if call and drawn.change is not None:
            drawn.change(model)
        return model

    if isinstance(result, ValueError):
        return f"refused: {result}"
    if isinstance(result, Exception):
        with pytest.raises(type(result)):
            loss_of(make()(images.detach()), images.detach())
            raise AssertionError(f"{drawn.names}: {result!r}")
        return "error"
    assert isinstance(result, Alignment)
    exact = loop(make, references, images.detach(), _exact_dtype(drawn))
    rounded = None
    for name, expected in exact.items():
        got = (result.loss if name == "loss" else result.cosine[name]).double()
        if _apart(got, expected, drawn.tolerance * (1 + expected.abs())):
            rounded = rounded or loop(make, references, images.detach(), torch.float32)
            noise = 10 * (rounded[name] - expected).abs() + drawn.tolerance
            how = result.route.get(name)
            assert not _apart(got, expected, noise), f"{drawn.names}, {name} ({how}): {got}, expected {expected}"
    return "; ".join(sorted({route.partition(":")[0] for route in result.route.values()}))


def _exact_dtype(drawn: Construction) -> torch.dtype:
    return torch.float32 if LOW_PRECISION.intersection(drawn.names) else torch.float64


def _apart(got: Tensor, expected: Tensor, allowed: Tensor) -> bool:
    """Whether two differ by more; where one is NaN, both must be."""
    differ = ~((got - expected).abs() <= allowed) & ~(got.isnan() & expected.isnan())
    return bool((differ & ~expected.isinf()).any())


@pytest.mark.parametrize("seed", range(50))
def test_every_cosine_is_right_or_refused(seed: int) -> None:
    with quietly():
        check(seed)
