from __future__ import annotations

import json

import pytest

from gradcon_ext.reproduce.records import Record
from gradcon_ext.version import __version__

NAME = "mnist/cae/0/seed-0"
RECORD = Record(
    epochs=50,
    best_epoch=48,
    figures={"combined": 0.987654, "gradient": 0.5},
    by_epoch={5: {"combined": 0.9}, 50: {"combined": 0.98}},
    variants={"weights averaged": {"combined": 0.99}},
    seconds=12.5,
)


def test_a_record_comes_back_as_it_was(records):
    records.put(NAME, RECORD)
    assert records.get(NAME) == RECORD
    assert records.get(NAME).version == __version__


def test_a_record_replaces_the_one_before(records, tmp_path):
    records.put(NAME, RECORD)
    records.put(NAME, Record(60, 59, {"combined": 1 / 3}))
    assert records.get(NAME) == Record(60, 59, {"combined": 0.333333})
    assert [path.relative_to(tmp_path / "records").as_posix() for path in tmp_path.rglob("*.json")] == [f"{NAME}.json"]


def test_a_record_of_fewer_epochs_does_not_count(records):
    assert records.get(NAME) is None
    records.put(NAME, RECORD)
    assert records.get(NAME, 50) == RECORD
    assert records.get(NAME, 51) is None


WHOLE = {"epochs": 1, "best_epoch": 1, "figures": {}, "by_epoch": {}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        *(
            json.dumps(facts).encode()
            for facts in (
                {},
                {**WHOLE, "epochs": None},
                {**WHOLE, "by_epoch": []},
                {**WHOLE, "by_epoch": {"last": {}}},
                {**WHOLE, "colour": "blue"},
                {name: fact for name, fact in WHOLE.items() if name != "figures"},
            )
        ),
        json.dumps(WHOLE).encode()[:-1],
    ],
)
def test_a_damaged_record_is_named(records, tmp_path, content):
    path = tmp_path / "records" / f"{NAME}.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is no record of an experiment .*: remove it"):
        records.get(NAME)
