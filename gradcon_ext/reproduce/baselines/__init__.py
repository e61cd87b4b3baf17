"""The one-class methods that the paper's Tables 2 and 3 compare with, on the same splits."""

from gradcon_ext.reproduce.baselines.baseline import BASELINES, Baseline

__all__ = ["BASELINES", "Baseline"]
