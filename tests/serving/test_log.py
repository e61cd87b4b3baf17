from __future__ import annotations

import logging

from gradcon_ext.serving.log import EscapingFormatter


def test_a_message_cannot_look_like_two_or_move_the_cursor() -> None:
    record = logging.LogRecord("name", logging.WARNING, "file", 1, "of %s", ("\x1b[2J\r\x85é\nERROR: forged",), None)
    assert EscapingFormatter("%(levelname)s: %(message)s").format(record) == (
        "WARNING: of \\x1b[2J\\r\\x85é\n    ERROR: forged"
    )
