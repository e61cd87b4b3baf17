"""The one-class methods that the paper's Tables 2 to 4 compare with, on the same splits."""

from gradcon_ext.reproduce.baselines.baseline import BASELINES, Baseline

__all__ = ["BASELINES", "Baseline"]
