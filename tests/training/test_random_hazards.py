"""Models with hazards at random: every step of training is that of automatic differentiation."""

import pytest
import torch

from gradcon_ext.losses import loss_of
from gradcon_ext.training.constraint import GradientConstraint
from gradcon_ext.training.objective import Objective
from support.hostile_chains import SHAPE
from support.random_hazards import LOW_PRECISION, construction, images_of, quietly

STEPS = 3


def renamed(loss):
    """The same loss, which the fused engine does not know."""
    return lambda output, images: loss(output, images)


class Training:
    """Steps of one model."""

    def __init__(self, drawn, change_loss, dtype):
        self.model = drawn.make().to(dtype).train()
        loss = change_loss(loss_of(self.model))
        weights = {
            name: weight
            for name, weight in self.model.named_parameters()
            if name.startswith("decoder") and weight.dim() > 1 and weight.requires_grad
        }
        self.constraint = GradientConstraint(weights, 0.5)
        self.objective = Objective(self.model, loss, self.constraint, SHAPE)

    def step(self, images):
        """Losses, cosines, gradients and references that a step leaves, by name; or the error that it raises."""
        torch.manual_seed(0)
        self.model.zero_grad()
        try:
            losses = self.objective.forward(images)
            cosine = self.objective.backward()
        except Exception as error:
            return error
        left = {"loss": losses.reconstruction, "cosine": cosine, "drawn": torch.rand(2)}
        for name, parameter in self.model.named_parameters():
            left[f"gradient of {name}"] = torch.zeros(()) if parameter.grad is None else parameter.grad.clone()
            with torch.no_grad():
                if parameter.grad is not None:
                    parameter.sub_(0.1 * parameter.grad)
        left |= {f"buffer {name}": buffer.clone() for name, buffer in self.model.named_buffers()}
        left |= {f"reference of {name}": mean.clone() for name, mean in self.constraint.references.items()}
        return left


def check(seed):
    """Compare; return the engines."""
    drawn = construction(seed, normalised=False)
    dtype = torch.float32 if seed % 4 == 0 or LOW_PRECISION.intersection(drawn.names) else torch.float64
    try:
        fused, other = Training(drawn, lambda loss: loss, dtype), Training(drawn, renamed, dtype)
    except ValueError as refusal:  # no weight to constrain
        return [f"refused: {refusal}"]
    found = []
    for step, size in enumerate((*drawn.sizes, 4)[:STEPS]):
        if step == 1 and drawn.change is not None:
            for training in (fused, other):
                drawn.change(training.model)
                training.model.to(dtype)
        images = drawn.layout(images_of(seed + step, size)).detach().to(dtype)
        (left, right) = (training.step(images) for training in (fused, other))
        assert other.objective.engine.name == "any model"
        engine = fused.objective.engine
        if isinstance(left, Exception) or isinstance(right, Exception):
            assert type(left) is type(right), f"{drawn.names}, {engine.name}: {left!r}, expected {right!r}"
            found.append("error")
            break
        assert left.keys() == right.keys()
        for name, expected in right.items():
            limit, least = (1e-9, 1e-12) if dtype == torch.float64 else (3e-3, 1e-7)
            what = f"{drawn.names}, step {step}, {name}, {engine.name} ({engine.reason})"
            torch.testing.assert_close(
                left[name],
                expected,
                rtol=limit,
                atol=least + limit * float(expected.abs().max().nan_to_num()),
                equal_nan=True,
                msg=lambda m, what=what: f"{what}: {m}",
            )
        found.append(engine.name)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_every_step_is_that_of_automatic_differentiation(seed):
    with quietly():
        check(seed)
