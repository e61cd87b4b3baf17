from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcon_ext.report.names import readable


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photos/a b.png", "photos/a b.png"),
        ("é 漢 שלום 👨\u200d👩\u200d👧", "é 漢 שלום 👨\u200d👩\u200d👧"),
        ("a\nb\tc\x00\x7f", r"a\nb\tc\x00\x7f"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("\u2028\u2066\ufeff\xad", r"\u2028\u2066\ufeff\xad"),
        (os.fsdecode(b"\xff\x80.png"), r"\xff\x80.png"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(name: str, expected: str) -> None:
    assert readable(name) == expected


@given(st.text(st.characters(codec=None)))
def test_every_name_can_be_written_in_one_line(name: str) -> None:
    text = readable(name)
    text.encode("utf-8")
    assert len(text.splitlines()) <= 1
