"""Anomaly detection by the alignment of per-sample gradients (GradCon), in fused kernels.

Train with `Trainer`, score with `Scorer`, or start from the command line with `gradcon demo`. Where only scores are
needed, `gradcon_ext.runtime` computes them without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcon_ext.version import __version__

if TYPE_CHECKING:
    from gradcon_ext import data, models, ops
    from gradcon_ext._install.build_facts import build_info
    from gradcon_ext._install.freed_memory import keep_freed_memory
    from gradcon_ext.alignment import (
        Alignment,
        average_alignment,
        clipped_gradient_sum,
        gradient_norms,
        per_sample_alignment,
    )
    from gradcon_ext.detector.averaging import average_detectors
    from gradcon_ext.detector.detector import Detector
    from gradcon_ext.estimator import OneClassDetector
    from gradcon_ext.scoring.balancing import balanced
    from gradcon_ext.scoring.calibrating import calibrated, select
    from gradcon_ext.scoring.evaluation import Evaluation, evaluate
    from gradcon_ext.scoring.explanation import Explanation
    from gradcon_ext.scoring.image_scoring import ImageScorer, PooledScorer, scorer_of
    from gradcon_ext.scoring.scorer import Scorer
    from gradcon_ext.scoring.scores import Scores
    from gradcon_ext.scoring.tile_balancing import balanced_tiles
    from gradcon_ext.scoring.tile_scoring import TileScorer, TileScores
    from gradcon_ext.tiles import Tiling, random_tiles
    from gradcon_ext.training.constraint import GradientConstraint
    from gradcon_ext.training.many import Run, RunsFailed, train_many
    from gradcon_ext.training.trainer import Trainer

__all__ = [
    "Alignment",
    "Detector",
    "Evaluation",
    "Explanation",
    "GradientConstraint",
    "ImageScorer",
    "OneClassDetector",
    "PooledScorer",
    "Run",
    "RunsFailed",
    "Scorer",
    "Scores",
    "TileScorer",
    "TileScores",
    "Tiling",
    "Trainer",
    "__version__",
    "average_alignment",
    "average_detectors",
    "balanced",
    "balanced_tiles",
    "build_info",
    "calibrated",
    "clipped_gradient_sum",
    "data",
    "evaluate",
    "gradient_norms",
    "keep_freed_memory",
    "models",
    "ops",
    "per_sample_alignment",
    "random_tiles",
    "scorer_of",
    "select",
    "train_many",
]

# The module of every name that is not one itself.
_HOMES = {
    "Alignment": "alignment",
    "average_alignment": "alignment",
    "clipped_gradient_sum": "alignment",
    "gradient_norms": "alignment",
    "per_sample_alignment": "alignment",
    "average_detectors": "detector.averaging",
    "build_info": "_install.build_facts",
    "keep_freed_memory": "_install.freed_memory",
    "GradientConstraint": "training.constraint",
    "Detector": "detector.detector",
    "OneClassDetector": "estimator",
    "Evaluation": "scoring.evaluation",
    "Explanation": "scoring.explanation",
    "balanced": "scoring.balancing",
    "balanced_tiles": "scoring.tile_balancing",
    "calibrated": "scoring.calibrating",
    "select": "scoring.calibrating",
    "evaluate": "scoring.evaluation",
    "Run": "training.many",
    "RunsFailed": "training.many",
    "train_many": "training.many",
    "ImageScorer": "scoring.image_scoring",
    "PooledScorer": "scoring.image_scoring",
    "scorer_of": "scoring.image_scoring",
    "Scorer": "scoring.scorer",
    "Scores": "scoring.scores",
    "TileScorer": "scoring.tile_scoring",
    "TileScores": "scoring.tile_scoring",
    "Tiling": "tiles",
    "random_tiles": "tiles",
    "Trainer": "training.trainer",
}

if not TYPE_CHECKING:  # A type checker would take any name for one of this module's.

    def __getattr__(name: str) -> Any:
        """Import a name when it is first used: `gradcon_ext.runtime` is to work where there is no torch."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        # First, so that an installation that cannot work is told of before anything else goes wrong.
        import_module("gradcon_ext._install.ops")
        home = import_module(f"gradcon_ext.{_HOMES.get(name, name)}")
        value = globals()[name] = getattr(home, name) if name in _HOMES else home
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
