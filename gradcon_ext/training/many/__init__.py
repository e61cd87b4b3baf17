"""Training of many models at once."""

from gradcon_ext.training.many.run import Run
from gradcon_ext.training.many.training import RunsFailed, train_many

__all__ = ["Run", "RunsFailed", "train_many"]
