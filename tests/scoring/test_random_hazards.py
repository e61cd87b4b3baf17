"""Models with hazards at random: every score is that of a float64 loop over single samples, or there is an error."""

import functools

import pytest
import torch

from gradcon_ext.losses import loss_of
from gradcon_ext.scoring.scorer import Scorer
from support.random_hazards import LOW_PRECISION, construction, images_of, quietly


def references_of(model):
    names = [name for name, weight in model.named_parameters() if name.startswith("decoder") and weight.dim() > 1]
    generator = torch.Generator().manual_seed(3)
    parameters = dict(model.named_parameters())
    return {name: torch.randn(parameters[name].shape, generator=generator) for name in names}


def loop(make, references, images, dtype):
    """Losses and cosines (N, 1 + L), each of a new model, so that nothing remembered of one image reaches the next."""
    return torch.stack([_row(make(), references, image[None].to(dtype), dtype) for image in images])


def _row(model, references, image, dtype):
    model.to(dtype)
    for module in model.modules():
        module.training = False
    parameters = dict(model.named_parameters())
    weights = [parameters[name].requires_grad_() for name in references]
    losses = loss_of(model)(model(image), image)
    gradients = torch.autograd.grad(losses.total.sum(), weights, materialize_grads=True, allow_unused=True)
    cosines = [
        torch.cosine_similarity(gradient.double().flatten(), reference.double().flatten(), 0, eps=0).nan_to_num(0)
        for gradient, reference in zip(gradients, references.values(), strict=True)
    ]
    return torch.stack([losses.reconstruction[0].detach().double(), *cosines])


def expected(drawn, make, references, images):
    """The loop in float64, where the model has any."""
    try:
        return loop(make, references, images, torch.float64)
    except RuntimeError:
        if not LOW_PRECISION.intersection(drawn.names):
            raise
    return loop(make, references, images, torch.float32)


def check(seed):
    """Compare; return the engines and refusals."""
    drawn = construction(seed)
    model = drawn.make()
    references = references_of(model)
    scorer = Scorer(model, references)
    found = []
    for call, size in enumerate(drawn.sizes):
        if call == 1 and drawn.change is not None:
            drawn.change(model)
        make = drawn.changed if call else drawn.make
        images = drawn.layout(images_of(seed + call, size))
        results = drawn.run(lambda images=images: (scorer.score(images), scorer.engine))
        try:
            exact = expected(drawn, make, references, images.detach())
        except Exception as error:
            assert all(isinstance(result, Exception) for result in results), f"{drawn.names}: it raises {error!r}"
            found.append("error")
            continue
        for result in results:
            in_float32 = functools.partial(loop, make, references, images.detach(), torch.float32)
            found.append(_judged(drawn, make, result, exact, in_float32))
    return found


def _judged(drawn, make, result, exact, in_float32):
    if isinstance(result, ValueError):
        return f"refused: {result}"
    if isinstance(result, Exception):
        with pytest.raises(type(result)):  # of float32 and float64 mixed, for one
            make().eval()(images_of(0, 1))
            raise AssertionError(f"{drawn.names}: {result!r}")
        return "error"
    scores, engine = result
    assert exact.isfinite().all(), f"{drawn.names}: scores of NaN"
    got = torch.cat([scores.reconstruction[:, None], scores.cosine], 1).double()
    apart = (got - exact).abs() - drawn.tolerance * (1 + exact.abs())
    # What float32 itself gets wrong says nothing.
    is_right = not (apart > 0).any() or not (apart > 10 * (in_float32() - exact).abs()).any()
    assert is_right, f"{drawn.names}, {engine.name} ({engine.reason}): {got}, expected {exact}"
    return engine.name


@pytest.mark.parametrize("seed", range(90))
def test_every_score_is_right_or_refused(seed):
    with quietly():
        check(seed)
