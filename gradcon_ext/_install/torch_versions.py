"""Which torch the package runs with: the requirements, the build and the import check take it from here.

There is no upper end, because nothing newer is known to fail. The build runs this file by itself: it imports nothing.
"""

from __future__ import annotations

# Also the stable ABI that the ops are compiled for.
OLDEST = "2.10"
NEWEST_TESTED = "2.15"

REQUIREMENT = f"torch>={OLDEST}"


def release(version: str) -> tuple[int, int]:
    """(2, 13) of "2.13.0+cpu" and of "2.13"."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def is_too_old(version: str) -> bool:
    """Whether the package refuses this torch."""
    return release(version) < release(OLDEST)


def is_untested(version: str) -> bool:
    """Whether this torch is newer than any that the tests have run with."""
    return release(version) > release(NEWEST_TESTED)
