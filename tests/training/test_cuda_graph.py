"""Steps as graphs: on a GPU those of CUDA, on the CPU with a stand-in that replays a step by taking it again."""

import pytest
import torch

from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.training.cuda_graph import CapturedStep
from gradcon_ext.training.step import OptimizerStep
from support.training_runs import TRAIN, VAL, new_model, new_state, new_trainer, stripes


class Again:
    """Replays a function by calling it again."""

    def __init__(self, error=None):
        self.error = error
        self.warm_ups = self.captures = self.replays = 0

    def warm_up(self, function):
        self.warm_ups += 1
        return function()

    def capture(self, function):
        if self.error is not None:
            raise self.error
        self.captures += 1
        self.function = function

    def replay(self):
        self.replays += 1
        return self.function()


BATCHES = [*stripes(40).split(8), stripes(3, seed=1), *stripes(24, seed=2).split(8), stripes(3, seed=3)]


def captured_step(state, graph):
    step = CapturedStep(OptimizerStep(state, squared_error, (1, 8, 8)), state.constraint, graph)
    step.begin_epoch()
    return step


def test_full_batches_are_replayed_after_a_warm_up_and_others_run_as_they_are():
    expected = new_state(new_model(), capturable=True)
    step = OptimizerStep(expected, squared_error, (1, 8, 8))
    metrics = [step(batch) for batch in BATCHES]

    state, graph = new_state(new_model(), capturable=True), Again()
    captured = captured_step(state, graph)
    given = [captured(batch) for batch in BATCHES]
    assert (graph.warm_ups, graph.captures, graph.replays) == (3, 1, 5)
    assert torch.equal(torch.stack(given), torch.stack(metrics))
    assert state.constraint.count == expected.constraint.count == len(BATCHES)
    assert captured.silent() == []
    for name, weight in expected.model.state_dict().items():
        assert torch.equal(state.model.state_dict()[name], weight)
    for name, reference in expected.constraint.references.items():
        assert torch.equal(state.constraint.references[name], reference)


def test_what_cannot_be_captured_is_an_error_that_says_what_to_do():
    graph = Again(RuntimeError("operation not permitted when stream is capturing"))
    captured = captured_step(new_state(new_model(), capturable=True), graph)
    for batch in BATCHES[:3]:
        captured(batch)
    with pytest.raises(RuntimeError, match="cuda_graph=False.*not permitted"):
        captured(BATCHES[3])


@pytest.mark.parametrize("model_type", [ConvAutoencoder, ConvVariationalAutoencoder])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_device_trains_with_a_graph_as_without(device, model_type, precision):
    detectors = [
        new_trainer(new_model(model_type), device=device, batch_size=6, precision=precision, cuda_graph=cuda_graph).fit(
            TRAIN, VAL
        )
        for cuda_graph in (True, False)
    ]
    assert detectors[0].count == detectors[1].count
    tolerance = 1e-4 if precision == "float32" else 1e-2
    for name, weight in detectors[1].model.state_dict().items():
        torch.testing.assert_close(detectors[0].model.state_dict()[name], weight, rtol=0, atol=tolerance)


def test_a_device_trains_as_the_cpu(device):
    detector, expected = (new_trainer(device=where, epochs=1).fit(TRAIN, VAL) for where in (device, "cpu"))
    for name, weight in expected.model.state_dict().items():
        torch.testing.assert_close(detector.model.state_dict()[name].cpu(), weight, rtol=0, atol=1e-3)
