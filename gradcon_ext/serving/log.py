"""The log of a server, on standard error, in which nothing that a client has sent looks like anything else."""

from __future__ import annotations

import logging


class EscapingFormatter(logging.Formatter):
    """Escapes what is not printable, and indents all lines but the first of a message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one message."""
        lines = super().format(record).split("\n")
        return "\n    ".join("".join(map(_escaped, line)) for line in lines)


def log_to_standard_error() -> None:
    """Have all loggers of this process write to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(EscapingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
