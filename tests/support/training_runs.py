"""Small training runs, which several tests share."""

from __future__ import annotations

import json
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import nn

from gradcon_ext.data.image_dataset import batches, stored_batches
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.training.checkpoint import TrainingState
from gradcon_ext.training.constrained import constrained_layers
from gradcon_ext.training.constraint import GradientConstraint
from gradcon_ext.training.trainer import Trainer


def stripes(count, size=8, seed=0):
    """Images of stripes in random places: easy to learn, and no two alike."""
    generator = torch.Generator().manual_seed(seed)
    phase = torch.rand(count, 1, 1, 1, generator=generator) * 6.28
    return (0.5 + 0.4 * torch.sin(torch.arange(size) * 0.8 + phase)).expand(count, 1, size, size).contiguous()


TRAIN, VAL = stripes(40), stripes(12, seed=1)


def new_model(model_type=ConvAutoencoder, seed=0, width=4):
    torch.manual_seed(seed)
    return model_type(1, 8, width)


def new_trainer(model=None, **arguments):
    return Trainer(model or new_model(), **{"batch_size": 8, "epochs": 4, "progress": False, **arguments})


def new_state(model, alpha=0.1, average="objective", capturable=False):
    weights = {name: layer.weight for name, layer in constrained_layers(model).items()}
    constraint = GradientConstraint(weights, alpha, average, capturable)
    return TrainingState(model, constraint, torch.optim.Adam(model.parameters(), lr=0.01), seed=0)


def history_of(folder):
    """The entries of history.jsonl, without the seconds, which are never the same twice."""
    entries = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in entries]


def assert_same_detector(first, second):
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], tensor), name
    assert list(second.references) == list(first.references)
    for name, reference in first.references.items():
        assert torch.equal(second.references[name], reference), name
    assert second.count == first.count
    assert {**second.training, "seconds": 0} == {**first.training, "seconds": 0}


def record_batches(model):
    batches = []
    model.register_forward_pre_hook(lambda model, arguments: batches.append(arguments[0]) if model.training else None)
    return batches


def plain_loop(model, batches, alpha, average):
    """Steps as the paper says them, in plain PyTorch; returns the running mean gradients."""
    weights = [layer.weight for layer in constrained_layers(model).values()]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    means = [torch.zeros_like(weight) for weight in weights]
    for count, batch in enumerate(batches):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(batch), batch)
        gradients = torch.autograd.grad(loss, weights, create_graph=True)
        objective = loss
        if count > 0:
            cosines = [
                nn.functional.cosine_similarity(gradient.flatten(), mean.flatten(), dim=0, eps=0)
                for gradient, mean in zip(gradients, means, strict=True)
            ]
            objective = loss - alpha * sum(cosines) / len(cosines)
        objective.backward()
        averaged = gradients if average == "primal" else [weight.grad for weight in weights]
        means = [(m * count + g.detach()) / (count + 1) for m, g in zip(means, averaged, strict=True)]
        optimizer.step()
    return means


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Stands for the kill of a process."""


@contextmanager
def interrupted(call, exception):
    """Raise at one of the batches, of an epoch or a validation."""
    calls = iter(range(call))

    def counted(read):
        def batches_until_then(*arguments):
            for batch in read(*arguments):
                if next(calls, None) is None:
                    raise exception
                yield batch

        return batches_until_then

    loop = "gradcon_ext.training.loop"
    with patch(f"{loop}.batches", counted(batches)), patch(f"{loop}.stored_batches", counted(stored_batches)):
        yield


def dead_model(model_type=ConvAutoencoder):
    model = new_model(model_type)
    nn.init.constant_(model.decoder[2].bias, -1e6)
    return model
