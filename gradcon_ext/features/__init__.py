"""Feature maps of a frozen network, to train and score on in place of pixels; see `FeatureMaps`."""

from gradcon_ext.features.feature_maps import FeatureMaps
from gradcon_ext.features.networks import load_network

__all__ = ["FeatureMaps", "load_network"]
