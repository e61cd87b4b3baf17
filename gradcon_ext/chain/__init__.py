"""A model as a chain of layers: its description, without torch, and how it is found in a model."""

from gradcon_ext.chain.chain import Chain, EncodedChain, Layer, LayerKind, NotAChain, Source

__all__ = ["Chain", "EncodedChain", "Layer", "LayerKind", "NotAChain", "Source"]
