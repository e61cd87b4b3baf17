"""The 12 challenging conditions of CURE-TSR as functions on any images, to ask what a detector notices."""

from gradcon_ext.challenges.conditions import CHALLENGES, LEVELS, challenge

__all__ = ["CHALLENGES", "LEVELS", "challenge"]
