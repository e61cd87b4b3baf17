"""Names of files, which may hold any character, as text that can be read and written."""

from __future__ import annotations

import unicodedata

_ZERO_WIDTH_JOINER = "\u200d"
"""Which emoji are made with; all else that is not seen is spelled out."""
_UNSEEN = ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp")
_UNDECODABLE = range(0xDC80, 0xDD00)
"""What Python has for bytes that are not UTF-8."""


def readable(name: str) -> str:
    r"""Return a name with characters that cannot be seen, written or trusted spelled out, as in \n, \xff and \u202e."""
    return "".join(map(_readable, name))


def _readable(character: str) -> str:
    if ord(character) in _UNDECODABLE:
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character == _ZERO_WIDTH_JOINER or unicodedata.category(character) not in _UNSEEN:
        return character
    return character.encode("unicode_escape").decode("ascii")
