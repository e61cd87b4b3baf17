"""Which changes of mappings are told by identity, and that equal is not the same."""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gradcon_ext._install.identity import ANYTHING, Snapshot, same_items, same_members


def noted(mapping: Mapping[Any, Any]) -> Snapshot:
    return mapping, tuple(mapping), tuple(mapping.values())


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another value that is equal": lambda held: held.update(one=1.0),
    "a further key": lambda held: held.update(other=None),
    "a key less": lambda held: held.pop("none"),
    "another key in the place of one": lambda held: held.update(other=held.pop("none")),
    "another order": lambda held: held.update(one=held.pop("one")),
    "nothing left": lambda held: held.clear(),
}


@pytest.mark.parametrize("kind", [dict, OrderedDict])
@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_dictionary_is_another(kind: type[dict[str, Any]], name: str) -> None:
    held, same = kind(one=1, none=None), kind(one=1)
    snapshots = [noted(same), noted(held)]
    assert same_items(snapshots, ANYTHING)
    CHANGES[name](held)
    assert not same_items(snapshots, ANYTHING)


def test_a_value_that_may_be_any() -> None:
    held = {"watched": 1, "unwatched": 2}
    snapshots = [(held, tuple(held), (1, ANYTHING))]
    held["unwatched"] = 3
    assert same_items(snapshots, ANYTHING)
    held["watched"] = 3
    assert not same_items(snapshots, ANYTHING)


def test_members_of_dictionaries_and_of_classes() -> None:
    class Kind:
        setting: object = 1

    first, second = {"a": 1, "b": 2}, vars(Kind)
    assert isinstance(second, types.MappingProxyType)
    snapshots = [(first, ("b", "missing"), (2, None)), (second, ("setting", "missing"), (1, None))]
    assert same_members(snapshots)
    first["a"] = 3  # which is not asked for
    assert same_members(snapshots)
    Kind.setting = 1.0
    assert not same_members(snapshots)
    Kind.setting = 1
    Kind.missing = True  # type: ignore[attr-defined]
    assert not same_members(snapshots)
    del Kind.missing  # type: ignore[attr-defined]
    first["missing"] = 0
    assert not same_members(snapshots)


def test_what_a_mapping_raises_is_passed_on() -> None:
    class Broken(dict[str, int]):
        pass

    class Raising(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            raise RuntimeError(f"no {key} today")

        def __iter__(self) -> Any:
            return iter(())

        def __len__(self) -> int:
            return 0

    with pytest.raises(RuntimeError, match="no a today"):
        same_members([(Raising(), ("a",), (1,))])
    with pytest.raises(TypeError, match="unhashable"):
        same_members([(Broken(), ([],), (1,))])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        same_members((noted({}),))  # type: ignore[arg-type]


def test_no_reference_is_left_behind() -> None:
    value = object()

    class Kind:
        setting = value

    held = {"a": value}
    snapshots = [(held, ("a",), (value,)), (vars(Kind), ("setting",), (value,))]
    before = sys.getrefcount(value)
    for _ in range(100):
        assert same_members(snapshots)
        assert same_items(snapshots[:1], ANYTHING)
    assert sys.getrefcount(value) == before
