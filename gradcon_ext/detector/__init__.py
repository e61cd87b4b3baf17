"""A trained detector, the facts in its file, and averages of several.

Nothing is imported here: the scorer without torch reads the facts alone.
"""
