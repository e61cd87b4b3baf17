"""Why a request gets no scores."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - it is an answer
    """A request is answered with an error.

    Attributes:
        status: of HTTP.
        sentence: that tells the client what is wrong.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence

    @property
    def headers(self) -> dict[str, str]:
        """When to come again, where that helps; and the end of a connection whose request was not read to its end."""
        if self.status == 503:
            return {"Retry-After": "1", "Connection": "close"}
        return {"Connection": "close"} if self.status in (408, 413) else {}
