from __future__ import annotations

import re

import numpy as np
import pytest

from gradcon_ext.data import DATA_SETS, load


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "MNIST", ""])
def test_mnist_is_found(tmp_path, write_mnist, folder):
    write_mnist(tmp_path / folder)
    assert load("mnist", tmp_path).train.images.shape == (6, 1, 2, 3)


@pytest.mark.parametrize("folder", ["fashion-mnist", "FashionMNIST/raw", "FashionMNIST", ""])
def test_fashion_mnist_is_found(tmp_path, write_mnist, folder):
    write_mnist(tmp_path / folder)
    assert load("fashion-mnist", str(tmp_path)).class_names[9] == "Ankle boot"


@pytest.mark.parametrize("folder", ["cifar-10", "cifar-10/cifar-10-batches-bin", "cifar-10-batches-bin", ""])
@pytest.mark.parametrize("name", ["cifar10", "cifar-10", "CIFAR_10"])
def test_cifar10_is_found(tmp_path, cifar10_contents, folder, name):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for file, content in cifar10_contents.items():
        (tmp_path / folder / file).write_bytes(content)
    assert load(name, tmp_path).train.images.shape == (10, 3, 32, 32)


def test_an_own_folder_goes_before_the_root(tmp_path, write_mnist):
    write_mnist(tmp_path)
    (write_mnist(tmp_path / "mnist") / "train-images-idx3-ubyte").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="train-images-idx3-ubyte: not an IDX file"):
        load("mnist", tmp_path)


def test_the_digits_need_no_root():
    assert load("digits").train.images.shape[1:] == (1, 8, 8)


@pytest.mark.parametrize("name", [name for name in DATA_SETS if name != "digits"])
def test_the_places_that_were_looked_at_are_listed(tmp_path, name):
    with pytest.raises(FileNotFoundError) as caught:
        load(name, tmp_path)
    message = str(caught.value)
    assert re.match(f"[^:]*{name} [^:]*{tmp_path}: ", message)
    places = {
        "mnist": ["mnist", "MNIST/raw", "MNIST"],
        "fashion-mnist": ["fashion-mnist", "FashionMNIST/raw", "FashionMNIST"],
        "cifar10": ["cifar-10", "cifar-10/cifar-10-batches-bin", "cifar-10/cifar-10-binary.tar.gz"],
    }
    for place in places[name]:
        assert str(tmp_path / place) in message
    assert "\n" not in message
    assert f"`gradcon download {name} --data-root {tmp_path}`" in message


def test_the_way_to_download_it_can_be_pasted(tmp_path):
    root = tmp_path / "my data"
    command = f"`gradcon download cifar10 --data-root '{root}'`"
    for make in (lambda: None, root.mkdir):
        make()
        with pytest.raises(FileNotFoundError) as caught:
            load("CIFAR-10", root)
        assert command in str(caught.value)


def test_a_missing_file_among_the_others_is_named(tmp_path, write_mnist):
    (write_mnist(tmp_path / "mnist") / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\[.gz\] in .*mnist;"):
        load("mnist", tmp_path)


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data root .*/nowhere "):
        load("mnist", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="^mnist .*--data-root.*GRADCON_DATA"):
        load("mnist")


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'svhn'.*mnist, fashion-mnist, cifar10, digits"):
        load("svhn", tmp_path)


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        (
            "mnist",
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
            [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        ),
        ("fashion-mnist", [6000] * 10, [1000] * 10),
    ],
)
def test_the_published_data_sets(data_root, name, train, test):
    data = load(name, data_root)
    assert data.train.images.shape == (60000, 1, 28, 28)
    assert data.test.images.shape == (10000, 1, 28, 28)
    assert np.bincount(data.train.labels).tolist() == train
    assert np.bincount(data.test.labels).tolist() == test
