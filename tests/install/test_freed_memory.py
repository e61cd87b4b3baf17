import pytest

import gradcon_ext
from gradcon_ext import cli
from gradcon_ext._install import freed_memory


@pytest.fixture
def blocks(monkeypatch):
    """The sizes of the blocks that are taken and given back for it."""
    taken = []
    freed_memory.keep_freed_memory.cache_clear()
    monkeypatch.setattr(freed_memory.torch, "empty", lambda size, **settings: taken.append((size, settings["device"])))
    yield taken
    freed_memory.keep_freed_memory.cache_clear()


def test_one_block_of_the_processor_is_freed_once(blocks):
    gradcon_ext.keep_freed_memory()
    gradcon_ext.keep_freed_memory()
    ((size, device),) = blocks
    assert 31 << 20 < size < 32 << 20
    assert device == "cpu"


def test_a_command_keeps_what_it_frees(blocks, capsys):
    assert cli.main(["info"]) == 0
    assert len(blocks) == 1
