"""Tiles of images that are too large, or too different in size, to be scored whole; see `Tiling`."""

from gradcon_ext.tiles.choice import Choice, choose
from gradcon_ext.tiles.pooling import Pooling
from gradcon_ext.tiles.random_tiles import random_tiles
from gradcon_ext.tiles.tiling import TiledImage, Tiling

__all__ = ["Choice", "Pooling", "TiledImage", "Tiling", "choose", "random_tiles"]
