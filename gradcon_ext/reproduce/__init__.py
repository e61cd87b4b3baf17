"""The experiments of the paper, run anew and set beside the published metrics."""

from gradcon_ext.reproduce.figure import Figure
from gradcon_ext.reproduce.table import Table
from gradcon_ext.reproduce.targets import LENGTH, MAIN, TARGETS, Reproduction

__all__ = ["LENGTH", "MAIN", "TARGETS", "Figure", "Reproduction", "Table"]
