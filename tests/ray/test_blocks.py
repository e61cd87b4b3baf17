from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.libraries import library

library("pyarrow")

from gradcon_ext.data.reading import ImageFile
from gradcon_ext.ray.blocks import SCHEMA, Blocks

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), max_size=20)


@given(NAMES, st.integers(1, 8))
def test_blocks_hold_all_images_in_order(names, size):
    blocks = Blocks([f"memory://{name}" for name in names], size)
    tables = list(blocks)
    assert [path for table in tables for path in table["path"].to_pylist()] == [f"memory://{name}" for name in names]
    assert [set(table["block"].to_pylist()) for table in tables] == [{number} for number in range(len(tables))]
    assert all(table.num_rows == size for table in tables[:-1])
    assert all(table.schema == SCHEMA for table in tables)
    assert blocks.images == len(names)


def digest(images):
    blocks = Blocks(images, 2)
    assert len(list(blocks)) == -(-len(images) // 2)
    return blocks.digest


def test_the_digest_is_of_images_frames_and_order():
    a, b = ImageFile(Path("a")), ImageFile(Path("b"))
    named = [[a, ImageFile(Path("b"), frame, names_frame=True)] for frame in (0, 1)]
    different = [[a], [b], [a, b], [b, a], *named, ["memory://a"], [ImageFile(Path("ab"))]]
    assert len({digest(images) for images in different}) == len(different)
    assert digest([a, b]) == digest([ImageFile(Path("a"), is_outlier=True), b])


def test_frames_are_those_that_are_named():
    blocks = Blocks([ImageFile(Path("a")), ImageFile(Path("b"), 0, names_frame=True), "memory://c"], 2)
    assert [table["frame"].to_pylist() for table in blocks] == [[None, 0], [None]]
    assert blocks.name_frames
    unnamed = Blocks([ImageFile(Path("a"))], 2)
    list(unnamed)
    assert not unnamed.name_frames


def test_names_that_are_not_utf8_are_refused():
    with pytest.raises(ValueError, match="not UTF-8"):
        list(Blocks([ImageFile(Path(os.fsdecode(b"caf\xe9.png")))], 2))
