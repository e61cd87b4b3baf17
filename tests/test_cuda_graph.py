"""Steps as CUDA graphs; on the CPU in front of a stand-in for CUDA, which replays by running the step again."""

from __future__ import annotations

import copy
from contextlib import contextmanager, nullcontext
from unittest.mock import MagicMock, patch

import pytest
import torch
from training_runs import TRAIN, VAL, new_model, new_state, new_trainer, stripes

from gradcon_ext.cuda_graph import CapturedStep
from gradcon_ext.losses import squared_error
from gradcon_ext.models import ConvAutoencoder, ConvVariationalAutoencoder
from gradcon_ext.optimizer_step import OptimizerStep

CPU = torch.device("cpu")


class StandIn:
    """Captures without changing anything, as CUDA does, and replays with the numbers that are there by then."""

    def __init__(self, state):
        self.state = state
        self.captures = self.replays = 0

    @contextmanager
    def graph(self, graph, stream):
        state = self.state
        kept = copy.deepcopy(
            (state.model.state_dict(), state.optimizer.state_dict(), state.constraint.state_dict()["references"])
        )
        device_count = state.constraint._device_count.clone()
        yield
        state.model.load_state_dict(kept[0])
        state.optimizer.load_state_dict(kept[1])
        for name, reference in kept[2].items():
            state.constraint.references[name].copy_(reference)
        state.constraint._device_count.copy_(device_count)
        self.captures += 1

    def replay(self):
        self.replays += 1
        count = self.state.constraint.count
        self.step._figures.copy_(self.step._step(self.step._images))
        self.state.constraint.count = count

    @contextmanager
    def in_place(self):
        graph = MagicMock(replay=self.replay)
        with patch.multiple(
            torch.cuda,
            Stream=MagicMock(),
            current_stream=MagicMock(),
            default_stream=MagicMock(),
            stream=lambda stream: nullcontext(),
            graph=self.graph,
            CUDAGraph=lambda: graph,
        ):
            self.step = CapturedStep(OptimizerStep(self.state, squared_error, (1, 8, 8)), self.state.constraint, CPU)
            self.step.begin_epoch()
            yield self.step


BATCHES = [*stripes(40).split(8), stripes(3, seed=1), *stripes(24, seed=2).split(8), stripes(3, seed=3)]


def test_full_batches_are_replayed_after_a_warm_up_and_others_run_as_they_are():
    expected = new_state(new_model(), capturable=True)
    step = OptimizerStep(expected, squared_error, (1, 8, 8))
    figures = [step(batch) for batch in BATCHES]

    state = new_state(new_model(), capturable=True)
    stand_in = StandIn(state)
    with stand_in.in_place() as captured:
        given = [captured(batch) for batch in BATCHES]
    assert (stand_in.captures, stand_in.replays) == (1, 5)
    assert torch.equal(torch.stack(given), torch.stack(figures))
    assert state.constraint.count == expected.constraint.count == len(BATCHES)
    assert state.constraint._device_count == len(BATCHES)
    assert captured.silent() == []
    for name, weight in expected.model.state_dict().items():
        assert torch.equal(state.model.state_dict()[name], weight)
    for name, reference in expected.constraint.references.items():
        assert torch.equal(state.constraint.references[name], reference)


def test_what_cannot_be_captured_is_an_error_that_says_what_to_do():
    stand_in = StandIn(new_state(new_model(), capturable=True))

    @contextmanager
    def refuse(graph, stream):
        yield
        raise RuntimeError("operation not permitted when stream is capturing")

    stand_in.graph = refuse
    with stand_in.in_place() as captured:
        for batch in BATCHES[:3]:
            captured(batch)
        with pytest.raises(
            RuntimeError, match="cannot be captured .*cuda_graph=False trains without one: .*not permit"
        ):
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
