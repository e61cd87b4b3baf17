"""Every sample's gradients for any model: aligned with references or with all others, and their norms."""

from gradcon_ext.alignment.average import average_alignment
from gradcon_ext.alignment.norms import clipped_gradient_sum, gradient_norms
from gradcon_ext.alignment.per_sample import Alignment, align_with_aux, per_sample_alignment
from gradcon_ext.alignment.prepared import parameter_of

__all__ = [
    "Alignment",
    "align_with_aux",
    "average_alignment",
    "clipped_gradient_sum",
    "gradient_norms",
    "parameter_of",
    "per_sample_alignment",
]
