"""Scoring on a Ray cluster: paths or URLs in, Parquet out. Training on one is `train_many(..., cluster="ray")`."""

from gradcon_ext.ray.job import ScoringJob
from gradcon_ext.ray.scoring import score_files
from gradcon_ext.ray.writing import Written

__all__ = ["ScoringJob", "Written", "score_files"]
