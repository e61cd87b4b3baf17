"""Anomaly detection by the alignment of per-sample gradients (GradCon), in fused kernels.

Train with `Trainer`, score with `Scorer`, or start from the command line with `gradcon demo`.
"""

# First, so that an installation that cannot work is told of before anything else goes wrong.
from gradcon_ext import _compiled as _compiled  # isort: split

from gradcon_ext import data, models, ops
from gradcon_ext.alignment import Alignment, average_alignment, per_sample_alignment
from gradcon_ext.build_info import build_info
from gradcon_ext.constraint import GradientConstraint
from gradcon_ext.detector import Detector
from gradcon_ext.evaluation import Evaluation, evaluate
from gradcon_ext.scorer import Scorer, Scores
from gradcon_ext.trainer import Trainer
from gradcon_ext.version import __version__

__all__ = [
    "Alignment",
    "Detector",
    "Evaluation",
    "GradientConstraint",
    "Scorer",
    "Scores",
    "Trainer",
    "__version__",
    "average_alignment",
    "build_info",
    "data",
    "evaluate",
    "models",
    "ops",
    "per_sample_alignment",
]
