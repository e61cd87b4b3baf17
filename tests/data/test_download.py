from __future__ import annotations

import hashlib
import io
import re
import socket
import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pooch
import pytest

from gradcon_ext.data import DATA_SETS, load
from gradcon_ext.data.download import SOURCES, Source, download

MNIST_FILES = list(SOURCES["mnist"].checksums)


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; below /cut/, no more than half of each file."""

    def do_GET(self):
        self.server.requests.append(self.path)
        super().do_GET()

    def copyfile(self, source, outputfile):
        content = source.read()
        outputfile.write(content[: len(content) // 2] if self.path.startswith("/cut/") else content)

    def translate_path(self, path):
        return super().translate_path(path.replace("/cut/", "/good/"))

    def log_message(self, *words):
        pass


class Mirrors:
    """A server of the folders of `root`, one a mirror."""

    def __init__(self, root, server):
        self.root = root
        self.requests = server.requests = []
        self._port = server.server_port

    def address(self, folder):
        return f"http://127.0.0.1:{self._port}/{folder}/"


@pytest.fixture
def mirrors(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    root = tmp_path / "served"
    with HTTPServer(("127.0.0.1", 0), partial(Handler, directory=root)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Mirrors(root, server)
        server.shutdown()
        thread.join(timeout=10)


@pytest.fixture
def publish(mirrors, monkeypatch):
    """Returns a function that makes the files of the mirror good/ the published ones of a data set."""

    def publish(name, *folders):
        contents = {path.name: path.read_bytes() for path in (mirrors.root / "good").iterdir()}
        source = replace(
            SOURCES[name],
            checksums={file: hashlib.md5(content).hexdigest() for file, content in contents.items()},
            mirrors=[mirrors.address(folder) for folder in folders],
        )
        monkeypatch.setattr("gradcon_ext.data.download.SOURCES", {name: source})

    return publish


@pytest.fixture
def publish_mnist(mirrors, publish, write_mnist):
    """The same for a small MNIST, beside which the mirror wrong/ has other files of the same names."""
    write_mnist(mirrors.root / "good", ".gz")
    for name in MNIST_FILES:
        (mirrors.root / "wrong").mkdir(exist_ok=True)
        (mirrors.root / "wrong" / name).write_bytes(b"something else")
    return partial(publish, "mnist")


def contents(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_mnist_is_fetched(tmp_path, mirrors, publish_mnist):
    publish_mnist("good")
    fetched = download("mnist", tmp_path / "new" / "data", progress=False)
    assert sorted(path.name for path in fetched) == sorted(MNIST_FILES)
    assert {path.name: content for path, content in contents(tmp_path / "new" / "data").items()} == {
        path.name: content for path, content in contents(mirrors.root / "good").items()
    }
    assert len(load("mnist", tmp_path / "new" / "data").train.images) == 6


def test_fashion_mnist_is_fetched(tmp_path, mirrors, publish, write_mnist):
    write_mnist(mirrors.root / "good", ".gz")
    publish("fashion-mnist", "good")
    assert len(download("fashion-mnist", str(tmp_path), progress=False)) == 4
    assert load("fashion-mnist", tmp_path).class_names[9] == "Ankle boot"


def test_cifar10_is_fetched(tmp_path, mirrors, publish, cifar10_contents):
    (archive_name,) = SOURCES["cifar10"].checksums
    (mirrors.root / "good").mkdir(parents=True)
    with tarfile.open(mirrors.root / "good" / archive_name, "w:gz") as archive:
        for name, content in cifar10_contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    publish("cifar10", "good")
    assert download("cifar10", tmp_path, progress=False) == [tmp_path / "cifar-10" / archive_name]
    assert len(load("cifar10", tmp_path).train.images) == 10


def test_what_was_fetched_is_not_asked_for_again(tmp_path, mirrors, publish_mnist):
    publish_mnist("good")
    download("mnist", tmp_path, progress=False)
    mirrors.requests.clear()
    assert download("mnist", tmp_path, progress=False) == []
    assert mirrors.requests == []


@pytest.mark.parametrize(("folder", "suffix"), [("mnist", ""), ("mnist", ".gz"), ("MNIST/raw", "")])
def test_a_data_set_that_can_be_read_is_left_alone(tmp_path, mirrors, publish_mnist, write_mnist, folder, suffix):
    publish_mnist("wrong")
    root = tmp_path / "data"
    write_mnist(root / folder, suffix)
    before = contents(root)
    assert download("mnist", root, progress=False) == []
    assert contents(root) == before
    assert mirrors.requests == []


def test_only_what_is_missing_is_fetched(tmp_path, mirrors, publish_mnist):
    publish_mnist("good")
    download("mnist", tmp_path, progress=False)
    missing = tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz"
    missing.unlink()
    mirrors.requests.clear()
    assert download("mnist", tmp_path, progress=False) == [missing]
    assert mirrors.requests == ["/good/t10k-labels-idx1-ubyte.gz"]


@pytest.mark.parametrize("bad", ["nowhere", "wrong", "cut"])
def test_the_next_mirror_helps(tmp_path, mirrors, publish_mnist, bad):
    publish_mnist(bad, "good", "wrong")
    assert len(download("mnist", tmp_path, progress=False)) == 4
    assert {request.split("/")[1] for request in mirrors.requests} == {bad, "good"}
    assert len(load("mnist", tmp_path).test.images) == 4


def test_without_a_good_mirror_the_error_says_why_and_what_to_do(tmp_path, mirrors, publish_mnist):
    publish_mnist("nowhere", "wrong", "cut")
    root = tmp_path / "data"
    with pytest.raises(ConnectionError) as caught:
        download("mnist", root, progress=False)
    message = str(caught.value)
    name = mirrors.requests[0].split("/")[-1]
    assert name in message.partition(mirrors.address(""))[0]
    assert re.search(rf"{mirrors.address('nowhere')} \(404 ", message)
    assert re.search(rf"{mirrors.address('wrong')} \(.*{hashlib.md5(b'something else').hexdigest()}", message)
    assert f"{mirrors.address('cut')} (" in message
    assert "--data-root" in message and "GRADCON_DATA" in message
    assert str(root / "mnist") in message
    assert all(file in message for file in MNIST_FILES)
    assert contents(root) == {}


def test_an_unreachable_mirror_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"
    source = Source("mnist", SOURCES["mnist"].checksums, [address])
    monkeypatch.setattr("gradcon_ext.data.download.SOURCES", {"mnist": source})
    with pytest.raises(ConnectionError, match=rf"from {address} \(.*refused"):
        download("mnist", tmp_path, progress=False)


def test_an_interruption_leaves_no_half_file(tmp_path, publish_mnist, monkeypatch):
    publish_mnist("good")

    def interrupted(self, url, output_file, pooch):
        output_file.write(b"half")
        raise KeyboardInterrupt

    root = tmp_path / "data"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
        download("mnist", root, progress=False)
    assert contents(root) == {}
    assert len(download("mnist", root, progress=False)) == 4


@pytest.mark.parametrize("complete", [True, False])
def test_a_damaged_file_is_named_and_not_replaced(tmp_path, publish_mnist, write_mnist, complete):
    publish_mnist("good")
    damaged = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    if complete:
        write_mnist(damaged.parent, ".gz")
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=f"{damaged}: not an IDX file.*move"):
        download("mnist", tmp_path, progress=False)
    assert damaged.read_bytes() == b"damaged"


@pytest.mark.parametrize("progress", [True, False])
def test_a_bar_is_shown_if_asked_for(tmp_path, publish_mnist, capfd, progress):
    publish_mnist("good")
    download("mnist", tmp_path, progress)
    out, err = capfd.readouterr()
    assert out == ""
    assert ("100%" in err) == progress
    assert progress or err == ""


def test_a_name_without_a_download_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'digits'.*mnist, fashion-mnist, cifar10"):
        download("digits", tmp_path)


def test_every_data_set_that_is_read_from_files_has_mirrors():
    assert sorted([*SOURCES, "digits"]) == sorted(DATA_SETS)
    for source in SOURCES.values():
        assert len(source.mirrors) > 1
        assert all(re.fullmatch(r"https?://.+/", mirror) for mirror in source.mirrors)
        assert all(re.fullmatch("[0-9a-f]{32}", checksum) for checksum in source.checksums.values())
