"""Scores as JSON."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response


class NumbersResponse(Response):
    """JSON with numbers of numpy, in the fewest digits that read back as the same; what is not finite is null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes of a body."""
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
