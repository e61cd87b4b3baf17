"""Detectors of inputs from outside of a classifier's distribution, with the interface of pytorch-ood."""

from gradcon_ext.pytorch_ood.detectors import GradCon, GradNorm

__all__ = ["GradCon", "GradNorm"]
