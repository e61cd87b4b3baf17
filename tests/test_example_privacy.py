"""What docs/examples/privacy.md compares computes the same thing; how long it takes is for the benchmark."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from support.benchmark_modules import benchmark_module
from support.libraries import library


@pytest.fixture
def clipping(monkeypatch):
    return benchmark_module("examples.clipping", monkeypatch)


@pytest.fixture
def privacy(monkeypatch):
    return benchmark_module("examples.privacy", monkeypatch)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")
@pytest.mark.parametrize("make", [lambda of: of.autoencoder(13, 6), lambda of: of.resnet(6)], ids=["cae", "resnet"])
@pytest.mark.parametrize("name", ["GRADCON", "TWO_PASSES", "VMAP", "OPACUS"])
def test_all_clip_alike(clipping, name, make) -> None:
    if name == "OPACUS":
        library("opacus")
    workload = make(clipping.Workload)
    batch = workload.inputs, workload.targets
    exact = clipping.ByHand(workload)
    clipper = clipping.CLIPPERS[getattr(clipping, name)](workload)
    norms = exact.norms(*batch)
    torch.testing.assert_close(clipper.norms(*batch).double(), norms, rtol=1e-4, atol=0)
    bound = float(norms.median())
    expected = exact.clipped_sum(*batch, bound)
    sums = clipper.clipped_sum(*batch, bound)
    assert sums.keys() == expected.keys()
    for parameter, total in sums.items():
        # Opacus adds 1e-6 to a norm, which is up to 1e-3 of those of the autoencoder.
        torch.testing.assert_close(total.double(), expected[parameter], rtol=2e-3, atol=1e-3 * bound)


def test_errors_are_those_against_the_definition(privacy, clipping) -> None:
    workload = clipping.Workload.autoencoder(13, 4)

    class Wrong(clipping.ByHand):
        def norms(self, inputs, targets):
            return 1.5 * super().norms(inputs, targets)

        def clipped_sum(self, inputs, targets, bound):
            return {name: 3 * total for name, total in super().clipped_sum(inputs, targets, bound).items()}

    row = privacy.errors(workload, {"exact": clipping.ByHand(workload), "wrong": Wrong(workload)})
    assert row == [workload.name, "0e+00, 0e+00", "5e-01, 2e+00"]


def test_the_table(privacy, clipping) -> None:
    def took(question, name, batch, seconds):
        return privacy.Measurement(f"{question}: {name}", batch, 100, 3, seconds, seconds)

    names = [clipping.GRADCON, clipping.VMAP, clipping.OPACUS]
    measured = [
        took(privacy.NORMS, name, batch, seconds * (1 + (batch == 16)))
        for name, seconds in zip(names, (0.01, 0.02, 0.04), strict=True)
        for batch in privacy.BATCHES
    ]
    assert privacy.times(privacy.NORMS, names, "a model", measured) == ["a model", "100", "200 (0.50)", "400 (0.25)"]


def test_the_figure(privacy, tmp_path) -> None:
    norms = privacy.norms_in_training(steps=(0, 1))
    assert list(norms) == [0, 1]
    assert not norms[0].equal(norms[1])
    privacy.draw(norms, tmp_path / "new" / "figure.png")
    with Image.open(tmp_path / "new" / "figure.png") as figure:
        assert figure.size[0] > figure.size[1]
