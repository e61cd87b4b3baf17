from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from gradcon_ext.reproduce import records as module
from gradcon_ext.reproduce.records import Record, Records
from gradcon_ext.version import __version__
from support.recording import put_some

NAME = "mnist/cae/0/seed-0"
RECORD = Record(
    epochs=50,
    best_epoch=48,
    metrics={"combined": 0.987654, "gradient": 0.5},
    by_epoch={5: {"combined": 0.9}, 50: {"combined": 0.98}},
    variants={"weights averaged": {"combined": 0.99}},
    seconds=12.5,
)


@pytest.fixture
def file(tmp_path) -> Path:
    (tmp_path / "records").mkdir()
    return tmp_path / "records" / "mnist.jsonl"


def test_a_record_comes_back_as_it_was(records):
    records.put(NAME, RECORD)
    assert records.get(NAME) == RECORD
    assert records.get(NAME).version == __version__


def test_a_record_replaces_the_one_before(records, tmp_path):
    records.put(NAME, RECORD)
    records.put(NAME, Record(60, 59, {"combined": 1 / 3}))
    assert records.get(NAME) == Record(60, 59, {"combined": 0.333333})
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["mnist.jsonl"]


def test_a_record_of_fewer_epochs_does_not_count(records):
    assert records.get(NAME) is None
    records.put(NAME, RECORD)
    assert records.get(NAME, 50) == RECORD
    assert records.get(NAME, 51) is None


def test_a_file_a_data_set_and_a_line_an_experiment(records, tmp_path):
    names = [f"{dataset}/cae/{inlier}/seed-0" for dataset in ("mnist", "cifar10") for inlier in "231"]
    for name in names:
        records.put(name, replace(RECORD, seconds=float(name.split("/")[2])))
    for dataset in ("mnist", "cifar10"):
        lines = (tmp_path / "records" / f"{dataset}.jsonl").read_text().splitlines()
        assert [json.loads(line)["name"] for line in lines] == [f"{dataset}/cae/{inlier}/seed-0" for inlier in "123"]
    assert sorted(path.name for path in (tmp_path / "records").iterdir()) == ["cifar10.jsonl", "mnist.jsonl"]


def test_the_bytes_do_not_depend_on_the_order_and_other_lines_stay(records, file, tmp_path):
    for inlier in "021":
        records.put(f"mnist/cae/{inlier}/seed-0", RECORD)
    other = Records(tmp_path / "other")
    for inlier in "102":
        other.put(f"mnist/cae/{inlier}/seed-0", RECORD)
    before = file.read_bytes().splitlines()
    assert (tmp_path / "other" / "mnist.jsonl").read_bytes().splitlines() == before
    records.put("mnist/cae/1/seed-0", Record(1, 1, {}))
    after = file.read_bytes().splitlines()
    assert [after[0], after[2]] == [before[0], before[2]] and after[1] != before[1]


def test_a_file_is_read_once_until_it_changes(records, file, monkeypatch):
    records.put(NAME, RECORD)
    read = []
    parse = module._parsed
    monkeypatch.setattr(module, "_parsed", lambda line: read.append(line) or parse(line))
    for _ in range(3):
        assert records.get(NAME) == RECORD
    assert len(read) == 1
    Records(file.parent).put("mnist/cae/1/seed-0", RECORD)  # as another process would
    read.clear()
    assert records.get("mnist/cae/1/seed-0") == records.get(NAME) == RECORD
    assert len(read) == 2


def test_several_processes_record_at_once(records, file):
    spawn = multiprocessing.get_context("spawn")
    writers = [
        spawn.Process(target=put_some, args=(file.parent, writer, replace(RECORD, best_epoch=writer)))
        for writer in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(file.read_bytes().splitlines()) == 15
    for writer in range(3):
        for seed in range(5):
            assert records.get(f"mnist/cae/{writer}/seed-{seed}").best_epoch == writer
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_what_fails_leaves_the_file_as_it_was(records, file, monkeypatch):
    records.put(NAME, RECORD)
    before = file.read_bytes()
    with pytest.raises(TypeError):
        records.put(NAME, replace(RECORD, metrics={"combined": object()}))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "name",
    ["", "mnist", "mnist/", "/mnist/cae", "mnist//cae", "../mnist/cae", "./mnist", ".mnist/cae", "a\\b/cae", "a\0/cae"],
)
def test_what_is_no_name_is_refused_before_anything_is_written(records, tmp_path, name):
    for use in (lambda: records.get(name), lambda: records.put(name, RECORD)):
        with pytest.raises(ValueError, match="no name of an experiment") as refused:
            use()
        assert repr(name) in str(refused.value)
    assert not list(tmp_path.rglob("*.jsonl"))


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"metrics": {"combined": float("nan")}}, "combined is nan"),
        ({"metrics": {"combined": True}}, "combined is True"),
        ({"by_epoch": {-1: {}}}, "-1"),
        ({"by_epoch": {"1": {}}}, "'1'"),
        ({"epochs": True}, "epochs is True"),
        ({"best_epoch": -1}, "best_epoch is -1"),
        ({"seconds": float("inf")}, "seconds is inf"),
        ({"version": None}, "version is None"),
    ],
)
def test_a_record_that_could_not_be_read_again_is_not_written(records, file, change, fact):
    records.put(NAME, RECORD)
    before = file.read_bytes()
    with pytest.raises((ValueError, TypeError), match=fact):
        records.put("mnist/cae/1/seed-0", replace(RECORD, **change))
    assert file.read_bytes() == before


WHOLE = {"name": "mnist/cae/1/seed-0", "epochs": 1, "best_epoch": 1, "metrics": {}, "by_epoch": {}}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"<<<<<<< HEAD",
        *(
            json.dumps(facts).encode()
            for facts in (
                {},
                {**WHOLE, "epochs": None},
                {**WHOLE, "name": 3},
                {**WHOLE, "name": "cifar10/cae/1/seed-0"},
                {**WHOLE, "name": NAME},
                {**WHOLE, "by_epoch": []},
                {**WHOLE, "by_epoch": {"last": {}}},
                {**WHOLE, "metrics": {"combined": "good"}},
                {**WHOLE, "metrics": {"combined": True}},
                {**WHOLE, "metrics": {"combined": float("nan")}},
                {**WHOLE, "metrics": {"combined": float("inf")}},
                {**WHOLE, "metrics": {"combined": -float("inf")}},
                {**WHOLE, "by_epoch": {"1": {"combined": True}}},
                {**WHOLE, "by_epoch": {" 1": {}}},
                {**WHOLE, "by_epoch": {"1": {}, "01": {}}},
                {**WHOLE, "by_epoch": {"1_0": {}}},
                {**WHOLE, "by_epoch": {"-1": {}}},
                {**WHOLE, "epochs": True},
                {**WHOLE, "epochs": 1.0},
                {**WHOLE, "epochs": -1},
                {**WHOLE, "best_epoch": "z"},
                {**WHOLE, "best_epoch": False},
                {**WHOLE, "seconds": "s"},
                {**WHOLE, "seconds": True},
                {**WHOLE, "seconds": float("nan")},
                {**WHOLE, "version": 3},
                {**WHOLE, "name": "mnist"},
                {**WHOLE, "name": "mnist//1"},
                {**WHOLE, "variants": {"weights averaged": None}},
                {**WHOLE, "colour": "blue"},
                {name: fact for name, fact in WHOLE.items() if name != "metrics"},
            )
        ),
        json.dumps(WHOLE).encode()[:-1],
        *(
            json.dumps(WHOLE).encode()[:-1] + repeated
            for repeated in (
                b', "epochs": 1}',
                b', "name": "mnist/cae/1/seed-0"}',
                b', "variants": {"a": {}, "a": {}}}',
            )
        ),
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_named_and_nothing_is_written(records, file, line):
    records.put(NAME, RECORD)
    content = file.read_bytes() + line + b"\n"
    file.write_bytes(content)
    for use in (lambda: records.get(NAME), lambda: records.put(NAME, RECORD)):
        with pytest.raises(ValueError) as refused:
            use()
        assert f"{file}, line 2, " in str(refused.value) and "remove" in str(refused.value)
    assert file.read_bytes() == content


def test_single_files_of_earlier_versions_are_refused_with_the_remedy(records, file):
    single = file.parent / f"{NAME}.json"
    single.parent.mkdir(parents=True)
    single.write_text("{}")
    for use in (lambda: records.get(NAME), lambda: records.put(NAME, RECORD)):
        with pytest.raises(ValueError) as refused:
            use()
        assert str(file.parent / "mnist") in str(refused.value) and "move it away" in str(refused.value)
    assert records.get("cifar10/cae/cat/seed-0") is None
    assert not file.exists()
