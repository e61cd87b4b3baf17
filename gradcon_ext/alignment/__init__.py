"""Alignment of every sample's gradients with references, or with those of all other samples, for any model."""

from gradcon_ext.alignment.average import average_alignment
from gradcon_ext.alignment.per_sample import Alignment, align_with_aux, per_sample_alignment
from gradcon_ext.alignment.prepared import parameter_of

__all__ = ["Alignment", "align_with_aux", "average_alignment", "parameter_of", "per_sample_alignment"]
