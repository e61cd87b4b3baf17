"""The description of a chain in Python and that in C++ are one."""

from __future__ import annotations

from gradcon_ext._install.runtime import load_runtime
from gradcon_ext.chain.chain import LARGEST_OUTPUTS, LAYER_FIELDS, LOSSES, LayerKind

compiled = load_runtime()


def test_the_kinds_have_the_names_and_numbers_of_the_engine() -> None:
    assert [kind.name.lower() for kind in sorted(LayerKind)] == compiled.layer_kinds
    assert sorted(LayerKind) == list(range(len(LayerKind)))


def test_the_fields_and_losses_are_those_of_the_engine() -> None:
    assert list(LAYER_FIELDS) == compiled.layer_fields
    assert list(LOSSES) == compiled.losses
    assert compiled.largest_sample >= LARGEST_OUTPUTS
