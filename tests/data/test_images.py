from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from gradcon_ext.data.image_dataset import batches, stored_batches
from gradcon_ext.data.image_size import height_width
from gradcon_ext.data.images import as_image_dataset
from gradcon_ext.data.reading import FileImages, Preparation, find_images
from gradcon_ext.data.survey import refuse_blank, survey

FLOATS = torch.linspace(0, 1, 5 * 3 * 4 * 6).reshape(5, 3, 4, 6)
BYTES = (torch.arange(5 * 3 * 4 * 6) % 256).to(torch.uint8).reshape(5, 3, 4, 6)


class Items(Dataset):
    def __init__(self, items):
        self.items = items
        self.read = []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.read.append(index)
        return self.items[index]


def everything(dataset, batch_size=2):
    return torch.cat(list(batches(dataset, batch_size)))


def with_pixel(value, image=3, dtype=torch.float32):
    images = FLOATS.to(dtype, copy=True)
    images[image, 1, 2, 3] = value
    return images


@pytest.mark.parametrize(
    "convert", [lambda x: x, torch.Tensor.numpy, list, TensorDataset, Items], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("images", [FLOATS, BYTES], ids=["float", "uint8"])
def test_every_kind_of_images_gives_the_same_tensors(convert, images):
    expected = images if images.is_floating_point() else images.float() / 255
    dataset = as_image_dataset(convert(images), channels=3, size=(4, 6))
    assert len(dataset) == 5
    assert dataset.shape == (3, 4, 6)
    assert dataset[1].dtype == torch.float32
    assert torch.equal(dataset[1], expected[1])
    assert torch.equal(dataset[-1], expected[-1])
    assert [len(batch) for batch in batches(dataset, 2)] == [2, 2, 1]
    assert torch.equal(everything(dataset), expected)


def test_batches_follow_an_order():
    dataset = as_image_dataset(BYTES)
    order = torch.tensor([4, 0, 3])
    taken = torch.cat(list(batches(dataset, 2, order)))
    assert torch.equal(taken, BYTES[order].float() / 255)
    (stored,) = stored_batches(dataset, 3, order)
    assert torch.equal(stored, BYTES[order])


@pytest.mark.parametrize("images", [BYTES, BYTES.numpy()], ids=["tensor", "numpy"])
def test_arrays_are_read_in_order_by_slices(images, monkeypatch):
    dataset = as_image_dataset(images)
    monkeypatch.setattr(type(dataset), "stored_take", None)
    assert torch.equal(everything(dataset), BYTES.float() / 255)
    assert torch.equal(dataset.stored_span(3, 9), BYTES[3:])


@pytest.mark.parametrize(
    "images",
    [
        BYTES,
        BYTES.numpy(),
        BYTES.numpy()[:, :, ::-1],
        BYTES.transpose(2, 3),
        BYTES[:, 0],
        np.broadcast_to(np.uint8(7), (5, 2, 3)),
        Items([(image, 0) for image in BYTES]),
        Items(list(BYTES.numpy()[:, :, ::-1])),
        TensorDataset(BYTES, torch.arange(5)),
        Subset(TensorDataset(BYTES), [4, 3, 2, 1, 0]),
    ],
)
def test_stored_batches_of_bytes_are_bytes(images):
    dataset = as_image_dataset(images)
    read = list(stored_batches(dataset, 2))
    assert [len(batch) for batch in read] == [2, 2, 1]
    assert all(batch.dtype == torch.uint8 and batch.shape[1:] == dataset.shape for batch in read)
    assert torch.equal(torch.cat(read).float() / 255, everything(dataset))


@pytest.mark.parametrize("images", [FLOATS, FLOATS.numpy(), FLOATS.double(), Items(list(FLOATS))])
def test_other_stored_batches_are_floats(images):
    dataset = as_image_dataset(images)
    assert torch.equal(torch.cat(list(stored_batches(dataset, 2))), everything(dataset))


def test_a_batch_of_bytes_and_floats_is_of_floats():
    dataset = as_image_dataset(Items([FLOATS[0], *BYTES[1:]]))
    first, second, last = stored_batches(dataset, 2)
    assert torch.equal(first, torch.stack([FLOATS[0], BYTES[1].float() / 255]))
    assert torch.equal(torch.cat([second, last]), BYTES[2:])


def test_batches_of_floats_are_copies():
    images = FLOATS.clone()
    next(batches(as_image_dataset(images), 5)).zero_()
    assert torch.equal(images, FLOATS)


def test_images_that_are_all_alike_are_noticed():
    alike = FLOATS[:1].expand(5, *FLOATS.shape[1:]).clone()
    nearly = alike.clone()
    nearly[-1].view(-1)[-1] = 1 - nearly[-1].view(-1)[-1]
    for images in (nearly, FLOATS):
        refuse_blank(as_image_dataset(images))
    with pytest.raises(ValueError, match="all 5 training images are alike: there is nothing"):
        refuse_blank(as_image_dataset(alike))


def test_black_images_of_any_sizes_are_noticed(tmp_path):
    preparation = Preparation(1, None, range=(0.0, 255.0))
    for number in range(3):
        Image.new("L", (20 + number, 30)).save(tmp_path / f"{number}.png")
    images = FileImages(find_images(tmp_path).files, preparation)
    with pytest.raises(ValueError, match="all 3 training images are alike, and black"):
        refuse_blank(images)
    Image.new("L", (20, 30), 1).save(tmp_path / "2.png")
    refuse_blank(images)


@pytest.mark.parametrize("convert", [lambda x: x, Items])
def test_the_mean_image_is_that_of_all_images(convert):
    dataset = as_image_dataset(convert(FLOATS))
    for batch_size in (1, 2, 5):
        both = survey([dataset, as_image_dataset(1 - FLOATS[:3])], batch_size).mean
        torch.testing.assert_close(both, torch.cat([FLOATS, 1 - FLOATS[:3]]).mean(0))
        torch.testing.assert_close(survey([dataset], batch_size).mean, FLOATS.mean(0))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_size_below_one_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"batch_size.* {batch_size}$"):
        batches(as_image_dataset(BYTES), batch_size)
    with pytest.raises(ValueError, match=f"batch_size.* {batch_size}$"):
        stored_batches(as_image_dataset(BYTES), batch_size)


def test_white_is_exactly_one():
    assert as_image_dataset(np.full((1, 2, 2), 255, np.uint8))[0].unique().tolist() == [1.0]


def test_grey_images_may_leave_the_channel_out():
    grey = BYTES[:, 0]
    for images in (grey, grey.numpy(), Items(list(grey)), Items([(image, 7) for image in grey.numpy()])):
        dataset = as_image_dataset(images, channels=1, size=(4, 6))
        assert torch.equal(everything(dataset), grey[:, None].float() / 255)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(dtype):
    assert torch.equal(everything(as_image_dataset(FLOATS.to(dtype))), FLOATS.to(dtype).float())


def test_unusual_arrays_are_read():
    read_only = FLOATS.numpy().copy()
    read_only.flags.writeable = False
    backwards = FLOATS.numpy()[::-1, :, ::-1]
    foreign = FLOATS.numpy().astype(">f4")
    assert torch.equal(everything(as_image_dataset(read_only)), FLOATS)
    assert torch.equal(everything(as_image_dataset(backwards)), FLOATS.flip(0, 2))
    assert torch.equal(everything(as_image_dataset(foreign)), FLOATS)
    assert torch.equal(as_image_dataset(FLOATS.transpose(2, 3))[0], FLOATS[0].transpose(1, 2))


def test_the_source_is_neither_changed_nor_tracked():
    images = FLOATS.clone().requires_grad_()
    image = as_image_dataset(images)[0]
    assert not image.requires_grad
    image.zero_()
    as_image_dataset(FLOATS)[0].zero_()
    assert torch.equal(images, FLOATS)
    assert FLOATS[0].any()


def test_a_memory_map_stays_on_disk(tmp_path):
    mapped = np.memmap(tmp_path / "images", np.uint8, mode="w+", shape=(5, 3, 4, 6))
    mapped[:] = BYTES.numpy()
    dataset = as_image_dataset(mapped)
    mapped[2] = 255
    assert dataset[2].min() == 1  # so nothing was copied


def test_an_image_dataset_is_returned_as_it_is():
    dataset = as_image_dataset(BYTES)
    assert as_image_dataset(dataset, channels=3, size=(4, 6)) is dataset
    with pytest.raises(ValueError, match=r"\(3, 4, 6\).*\(1, 4, 6\)"):
        as_image_dataset(dataset, channels=1)


def test_torch_tools_accept_the_dataset():
    dataset = as_image_dataset(BYTES)
    (loaded,) = DataLoader(dataset, batch_size=5)
    assert torch.equal(loaded, BYTES.float() / 255)
    assert torch.equal(everything(as_image_dataset(Subset(dataset, [4, 1]))), BYTES[[4, 1]].float() / 255)


def test_a_dataset_is_read_lazily():
    items = Items([(image, 0) for image in BYTES])
    dataset = as_image_dataset(items)
    assert items.read == [0]
    dataset[3]
    assert items.read == [0, 3]


@pytest.mark.parametrize("images", [torch.empty(0, 1, 4, 4), np.empty((0, 4, 4)), torch.empty(3, 1, 0, 4), []])
def test_no_images_are_refused(images):
    with pytest.raises(ValueError, match="no images"):
        as_image_dataset(images)


@pytest.mark.parametrize("shape", [(4,), (4, 4), (1, 1, 1, 4, 4)])
@pytest.mark.parametrize("make", [torch.zeros, np.zeros])
def test_a_wrong_number_of_dimensions_is_refused(make, shape):
    with pytest.raises(ValueError, match=rf"{re.escape(str(shape))}.*\(N, C, H, W\).*\(N, H, W\)"):
        as_image_dataset(make(shape))


def test_a_dataset_item_with_a_wrong_number_of_dimensions_is_refused():
    with pytest.raises(ValueError, match=r"image 0 .*\(4,\).*\(C, H, W\)"):
        as_image_dataset([torch.zeros(4)])


@pytest.mark.parametrize("images", [BYTES, Items(list(BYTES))], ids=["array", "dataset"])
def test_wrong_channels_or_size_are_refused(images):
    with pytest.raises(ValueError, match=r"\(3, 4, 6\).*\(1, 4, 6\)"):
        as_image_dataset(images, channels=1)
    with pytest.raises(ValueError, match=r"\(3, 4, 6\).*\(3, 28, 28\)"):
        as_image_dataset(images, size=28)


def test_a_dataset_of_different_shapes_is_refused_where_they_begin():
    dataset = as_image_dataset([torch.zeros(1, 4, 4), torch.zeros(1, 4, 4), torch.zeros(1, 4, 5)])
    with pytest.raises(ValueError, match=r"image 2 .*\(1, 4, 5\).*\(1, 4, 4\)"):
        everything(dataset)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
def test_another_dtype_is_refused(dtype):
    images = torch.zeros(2, 1, 4, 4, dtype=dtype)
    for given in (images, images.numpy(), list(images)):
        with pytest.raises(TypeError, match=rf"{str(dtype).removeprefix('torch.')}.*uint8"):
            as_image_dataset(given)


@pytest.mark.parametrize("given", [None, 3, Items(["a"]), Items([None]), {"image": FLOATS}, iter([3])])
def test_what_holds_no_images_is_refused(given):
    with pytest.raises(TypeError, match="expected"):
        as_image_dataset(given)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_pixels_that_are_no_numbers_are_refused(value, dtype):
    images = with_pixel(value, dtype=dtype)
    for given in (images, images.numpy()):
        with pytest.raises(ValueError, match="image 3 .*NaN or infinite"):
            as_image_dataset(given)
    with pytest.raises(ValueError, match="image 3 .*NaN or infinite"):
        everything(as_image_dataset(Items(list(images))))


@pytest.mark.parametrize("value", [-0.25, 1.5, 255.0])
def test_floats_outside_0_to_1_are_refused(value):
    images = with_pixel(value)
    with pytest.raises(ValueError, match=f"image 3 .*floating-point.*{value:g}"):
        as_image_dataset(images)
    with pytest.raises(ValueError, match="image 3 .*floating-point"):
        everything(as_image_dataset(Items(list(images))))


def test_a_bad_image_is_found_beyond_the_first_ones():
    images = torch.zeros(3000, 1, 1, 1)
    images[2500] = float("nan")
    with pytest.raises(ValueError, match="image 2500 .*NaN"):
        as_image_dataset(images)


def test_height_and_width():
    assert height_width(28) == (28, 28)
    assert height_width((4, 6)) == (4, 6)
    assert height_width([4, 6]) == (4, 6)


@pytest.mark.parametrize("size", [0, -1, (4, 0), (4,), (4, 4, 4), (4.0, 4), 4.0, "4", None])
def test_a_bad_size_is_refused(size):
    with pytest.raises(ValueError, match=rf"size .* {re.escape(repr(size))}$"):
        height_width(size)


def test_digests_tell_images_apart_however_they_are_read():
    first = as_image_dataset(FLOATS)
    digests = {batch_size: survey([first], batch_size).digests[0] for batch_size in (1, 2, 100)}
    assert len(set(digests.values())) == 1
    others = [1 - FLOATS, FLOATS.flip(0), FLOATS[:-1], FLOATS.flip(-1)]
    different = {survey([as_image_dataset(other)], 2).digests[0] for other in others}
    assert len(different) == len(others) and digests[1] not in different
