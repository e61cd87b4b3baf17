"""The two ways in which this package scores."""

from __future__ import annotations

from torch import Tensor

from benchmarks.workload import Workload
from gradcon_ext import Scorer
from gradcon_ext.losses import SampleLosses, squared_error

FUSED = "gradcon_ext.Scorer, fused"
ANY_MODEL = "gradcon_ext.Scorer, any-model path"


def loss_of_ones_own(output: Tensor, images: Tensor) -> SampleLosses:
    """The squared error, but not by the name under which the fused engine has it."""
    return squared_error(output, images)


def fused_scorer(workload: Workload) -> Scorer:
    return _checked(Scorer(workload.model, workload.references), workload, "fused chain")


def any_model_scorer(workload: Workload) -> Scorer:
    return _checked(Scorer(workload.model, workload.references, loss=loss_of_ones_own), workload, "any model")


def _checked(scorer: Scorer, workload: Workload, expected: str) -> Scorer:
    engine = scorer.engine_for(tuple(workload.images.shape[1:]))
    assert engine.name == expected, engine.reason
    return scorer
