"""GradCon as an outlier detector of scikit-learn."""

from gradcon_ext.sklearn.detector import GradConDetector

__all__ = ["GradConDetector"]
