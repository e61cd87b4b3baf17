"""Passes leave the model alone, also while other threads and forked processes use it."""

from __future__ import annotations

import gc
import multiprocessing
import queue
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from gradcon_ext import Scorer, per_sample_alignment
from gradcon_ext.alignment import align_with_aux
from gradcon_ext.alignment.private_copy import frozen_copy, trainable_copy
from gradcon_ext.losses import SampleLosses, squared_error
from support.model_families import squared_output


def normalised_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 1, 1)).train()


def loss(output: Tensor, images: Tensor) -> SampleLosses:
    return squared_error(output, images)


def scorer_of(model: nn.Sequential) -> Scorer:
    return Scorer(model, {"3.weight": torch.ones_like(model[3].weight)}, loss=loss)


def test_a_model_in_training_mode_is_scored_by_eight_threads() -> None:
    model = normalised_model()
    batches = torch.rand(40, 3, 1, 6, 6)
    expected = [scorer_of(normalised_model().eval()).score(images).anomaly for images in batches]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    scorer = scorer_of(model)
    seen: set[bool] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.update(module.training for module in model.modules())
            seen.update(not module._forward_hooks for module in model.modules())
            seen.update(parameter.requires_grad for parameter in model.parameters())
            done.wait(0.001)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            scores = list(pool.map(lambda images: scorer.score(images).anomaly, batches))
    finally:
        done.set()
        watcher.join()
    assert seen == {True}
    for one, wanted in zip(scores, expected, strict=True):
        torch.testing.assert_close(one, wanted)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_scoring_from_many_threads_leaves_the_compiler_of_torch_alone() -> None:
    images = torch.rand(3, 1, 6, 6)
    together = threading.Barrier(8)

    def first_score(scorer: Scorer) -> None:
        together.wait()
        scorer.score(images)  # of a model that is new, and so is verified

    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(first_score, [scorer_of(normalised_model()) for _ in range(8)]))
    compiled: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        compiled.append(graph)
        return graph

    torch._dynamo.reset()
    torch.compile(torch.neg, backend=backend)(images)
    assert len(compiled) == 1


class Gate(nn.Module):
    """Says that a forward has come to it, and waits while its lock is held."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.arrivals: queue.SimpleQueue[None] = queue.SimpleQueue()

    def forward(self, x: Tensor) -> Tensor:
        self.arrivals.put(None)
        with self.lock:
            return x


class Child:
    """A forked process that scores images, with an open gate."""

    def __init__(self, scorer: Scorer, images: Tensor) -> None:
        context = multiprocessing.get_context("fork")
        self._scorer, self._images, self._scores = scorer, images, context.SimpleQueue()
        self._process = context.Process(target=self._score)
        self._process.start()

    def scores(self) -> Tensor:
        self._process.join(60)
        if self._process.is_alive():
            self._process.kill()
            pytest.fail("the child hangs")
        return torch.tensor(self._scores.get())

    def _score(self) -> None:
        torch.set_num_threads(1)  # GNU OpenMP does not survive a fork from a process that uses it.
        gate = self._scorer.model[-1]
        if gate.lock.locked():
            gate.lock.release()
        self._scores.put(self._scorer.score(self._images).anomaly.tolist())


# The forks are at a point where torch itself holds no lock: those of oneDNN and of autograd's engine stay in a child.
forks = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@forks
def test_a_child_that_is_forked_during_a_pass_scores() -> None:
    gate = Gate()
    scorer = scorer_of(normalised_model().append(gate))
    images = torch.rand(3, 1, 6, 6)
    expected = scorer.score(images).anomaly
    while not gate.arrivals.empty():
        gate.arrivals.get()
    with ThreadPoolExecutor(2) as pool:
        with gate.lock:
            passes = [pool.submit(scorer.score, images) for _ in range(2)]
            for _ in passes:
                gate.arrivals.get(timeout=60)
            scores = Child(scorer, images).scores()
        assert all(torch.equal(each.result().anomaly, expected) for each in passes)
    torch.testing.assert_close(scores, expected)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@forks
def test_a_fork_waits_for_a_verification() -> None:
    gate = Gate()
    scorer = scorer_of(normalised_model().append(gate))
    images = torch.rand(3, 1, 6, 6)
    with ThreadPoolExecutor(1) as pool:
        gate.lock.acquire()
        first = pool.submit(scorer.score, images)
        gate.arrivals.get(timeout=60)
        threading.Timer(0.3, gate.lock.release).start()
        torch.testing.assert_close(Child(scorer, images).scores(), first.result().anomaly)


def test_copies_share_parameters_but_no_module_or_buffer() -> None:
    model = normalised_model()
    model.first = [model[0]]
    model.run = model[3].forward
    for copied in (frozen_copy(model), trainable_copy(model)):
        assert copied.module.first[0] is copied.module[0] is not model[0]
        assert copied.module.run.__self__ is copied.module[3]
        assert copied.module[1].running_mean is not model[1].running_mean
        assert copied.module[0].weight.data_ptr() == model[0].weight.data_ptr()
    assert trainable_copy(model).module[0].weight is model[0].weight
    assert frozen_copy(model, numbers=True).module[0].weight.data_ptr() != model[0].weight.data_ptr()
    assert not any(parameter.requires_grad for parameter in frozen_copy(model).parameters.values())


class Halving(nn.Linear):
    """Its weight is another while it runs."""

    def forward(self, x: Tensor) -> Tensor:
        kept = self.weight.data
        self.weight.data = kept * 0.5
        result = super().forward(x)
        self.look()
        self.weight.data = kept
        return result


@pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning")
def test_data_that_a_forward_exchanges_and_puts_back_is_not_that_of_the_model() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Halving(4, 4), nn.Tanh(), nn.Linear(4, 4))
    weight, memory = model[0].weight, model[0].weight.data_ptr()
    seen: list[bool] = []
    model[0].look = lambda: seen.append(weight.data_ptr() == memory)
    inputs, references = torch.randn(3, 4), {name: torch.randn(4, 4) for name in ("0.weight", "2.weight")}
    for _ in range(2):
        alignment = per_sample_alignment(model, squared_output, inputs, references)
    assert all(seen)
    loss_of_first = squared_output(model(inputs[:1]), inputs[:1]).sum()
    gradients = torch.autograd.grad(loss_of_first, [weight, model[2].weight])
    for (name, reference), gradient in zip(references.items(), gradients, strict=True):
        cosine = torch.cosine_similarity(gradient.flatten(), reference.flatten(), 0)
        torch.testing.assert_close(alignment.cosine[name][0], cosine)


@pytest.mark.filterwarnings("ignore:.torch.jit.script")
def test_what_cannot_be_copied_is_run_as_it_is_or_refused() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh()).eval()
    scripted = torch.jit.script(model)
    inputs, references = torch.randn(3, 4), {"0.weight": torch.randn(4, 4)}
    expected = per_sample_alignment(model, squared_output, inputs, references)
    with pytest.warns(UserWarning, match="one sample at a time"):
        alignment = per_sample_alignment(scripted, squared_output, inputs, references)
    torch.testing.assert_close(alignment.cosine["0.weight"], expected.cosine["0.weight"])
    scripted.train()
    with pytest.raises(ValueError, match="call model.eval"):
        align_with_aux(
            scripted, lambda output, _: (squared_output(output, _), 0), inputs, references, in_eval_mode=True
        )


def test_a_change_of_structure_is_noticed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(0.1), nn.Linear(4, 4))
    inputs, references = torch.randn(3, 4), {"0.weight": torch.randn(4, 4)}
    assert per_sample_alignment(model, squared_output, inputs, references).route == {
        "0.weight": "fused: linear_grad_alignment"
    }
    handle = model[0].register_forward_hook(lambda module, arguments, output: output.relu())
    assert "hook" in per_sample_alignment(model, squared_output, inputs, references).route["0.weight"]
    handle.remove()
    model[2].register_forward_hook(lambda module, arguments, output: output - output.mean(0))
    with pytest.raises(ValueError, match="influence each other"):
        per_sample_alignment(model, squared_output, inputs, references)


def test_a_replaced_function_of_torch_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4))
    inputs, references = torch.randn(3, 4), {"0.weight": torch.randn(4, 4)}
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: x @ self.weight.abs().T)
    alignment = per_sample_alignment(model, squared_output, inputs, references)
    assert "Linear.forward has been replaced" in alignment.route["0.weight"]
    (gradient,) = torch.autograd.grad(squared_output(model(inputs[:1]), inputs[:1]).sum(), model[0].weight)
    cosine = torch.cosine_similarity(gradient.flatten(), references["0.weight"].flatten(), 0)
    torch.testing.assert_close(alignment.cosine["0.weight"][0], cosine)


@pytest.mark.filterwarnings("ignore:torch.func.vmap cannot run this model:UserWarning")
def test_a_tensor_that_was_computed_of_a_parameter_before() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    kept = model[2].weight
    del model[2]._parameters["weight"]
    model[2].kept, model[2].weight = kept, kept * kept.sum()
    inputs, references = torch.randn(3, 4), {name: torch.randn(4, 4) for name in ("0.weight", "2.kept")}
    alignment = per_sample_alignment(model, squared_output, inputs, references)
    for row, input in enumerate(inputs):
        loss_of_row = squared_output(model(input[None]), input[None]).sum()
        gradients = torch.autograd.grad(loss_of_row, [model[0].weight, kept], retain_graph=True)
        for name, gradient in zip(references, gradients, strict=True):
            cosine = torch.cosine_similarity(gradient.flatten(), references[name].flatten(), 0)
            torch.testing.assert_close(alignment.cosine[name][row], cosine)
            assert not alignment.cosine[name].requires_grad


def test_a_model_is_not_kept_alive() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    per_sample_alignment(model, squared_output, torch.randn(3, 4), {"0.weight": torch.randn(4, 4)})
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
