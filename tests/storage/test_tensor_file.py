from __future__ import annotations

import os
import pickle
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from gradcon_ext.storage.tensor_file import read_tensors, with_prefix, without_prefix, write_tensors

TENSORS = {
    "weight": torch.randn(3, 4),
    "scalar": torch.tensor(2.5, dtype=torch.float64),
    "empty": torch.zeros(0, 3),
    "count": torch.tensor([1, 2], dtype=torch.int64),
    "half": torch.randn(5).bfloat16(),
    "flags": torch.tensor([True, False]),
}
FACTS = {"alpha": 0.1, "names": ["ä", "b"], "nested": {"none": None, "int": 3}, "history": []}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file.safetensors"
    write_tensors(path, "thing", 1, TENSORS, FACTS)
    return path


def test_tensors_and_facts_come_back(path):
    tensors, facts = read_tensors(path, "thing", 1)
    assert facts == {"kind": "thing", "version": 1, **FACTS}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_the_same_content_gives_the_same_bytes(path, tmp_path):
    write_tensors(tmp_path / "again", "thing", 1, TENSORS, FACTS)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_whoever_may_read_new_files_may_read_this_one(path, tmp_path):
    (tmp_path / "new").touch()
    assert path.stat().st_mode == (tmp_path / "new").stat().st_mode


def test_tensors_are_written_whatever_their_layout_and_sharing(tmp_path):
    weight = nn.Parameter(torch.randn(3, 4))
    tensors = {"tied": weight, "to": weight, "transposed": weight.t(), "part": weight[:, 1:3]}
    write_tensors(tmp_path / "file", "thing", 1, tensors, {})
    read, _ = read_tensors(tmp_path / "file", "thing", 1)
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_tensors_outlive_their_file(path):
    tensors, _ = read_tensors(path, "thing", 1)
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert torch.equal(tensors["weight"], TENSORS["weight"])


def test_a_failure_leaves_the_old_file(path):
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_tensors(path, "thing", 1, TENSORS, {"facts": object()})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_tensors(tmp_path / "nowhere", "thing", 1)


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_byte_is_noticed_wherever_it_is(path, position, flip):
    original = path.read_bytes()
    damaged = bytearray(original)
    damaged[position % len(damaged)] ^= flip
    other = path.with_name("damaged")
    other.write_bytes(damaged)
    try:
        tensors, facts = read_tensors(other, "thing", 1)
    except ValueError as error:
        assert str(other) in str(error)
    else:  # a blank of the header's padding
        assert facts == {"kind": "thing", "version": 1, **FACTS}
        assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())


@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_file_is_an_error(path, share):
    content = path.read_bytes()
    other = path.with_name("truncated")
    other.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="/truncated .*damaged"):
        read_tensors(other, "thing", 1)


def write_pickle(path):
    path.write_bytes(pickle.dumps({"weight": [1.0] * 100}))


def write_torch(path):
    torch.save(TENSORS, path)


def write_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weight", "1.0")


@pytest.mark.parametrize("write", [write_pickle, write_torch, write_zip])
def test_another_format_is_an_error(tmp_path, write):
    write(tmp_path / "foreign")
    with pytest.raises(ValueError, match="/foreign .*safetensors"):
        read_tensors(tmp_path / "foreign", "thing", 1)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_safetensors_file_of_another_program_is_an_error(tmp_path, metadata):
    save_file({"weight": torch.zeros(2)}, tmp_path / "foreign", metadata=metadata)
    with pytest.raises(ValueError, match="/foreign .*gradcon_ext"):
        read_tensors(tmp_path / "foreign", "thing", 1)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{", "not JSON"),
        ('{"count": ' + 5000 * "1" + "}", "/file .*not JSON"),
        (100_000 * "[", "/file .*not JSON"),
        ("[1]", "header.* list"),
        ("{}", "thing.* None"),
        ('{"kind": "thing", "version": 1}', "checksum"),
    ],
)
def test_a_header_of_another_kind_is_an_error(tmp_path, header, message):
    save_file({"weight": torch.zeros(2)}, tmp_path / "file", metadata={"gradcon_ext": header})
    with pytest.raises(ValueError, match=message):
        read_tensors(tmp_path / "file", "thing", 1)


def test_another_kind_or_version_is_an_error(path):
    with pytest.raises(ValueError, match="detector.* thing"):
        read_tensors(path, "detector", 1)
    with pytest.raises(ValueError, match="thing .*version 2.* 1$"):
        read_tensors(path, "thing", 2)


def test_prefixes_are_added_and_taken_away():
    tensors = {**with_prefix("a.", {"x": TENSORS["weight"]}), **with_prefix("b.a.", {"y": TENSORS["scalar"]})}
    assert list(tensors) == ["a.x", "b.a.y"]
    assert without_prefix("a.", tensors) == {"x": TENSORS["weight"]}
    assert without_prefix("b.a.", tensors) == {"y": TENSORS["scalar"]}
