"""Folders, Pillow's images, loaders, and the data sets of other libraries, trained on and scored."""

from __future__ import annotations

import io
import tarfile
import tempfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset

from gradcon_ext import Scorer, Trainer
from gradcon_ext.data.image_streams import stream_batches
from gradcon_ext.data.images import as_image_dataset
from gradcon_ext.models import ConvAutoencoder
from support.libraries import library

# What the libraries themselves are warned of.
pytestmark = pytest.mark.filterwarnings("ignore:Cannot (locate|pickle)", "ignore:::webdataset")

COUNT = 23
PIXELS = torch.randint(0, 256, (COUNT, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(COUNT)


def pillows() -> list[Image.Image]:
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in PIXELS]


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    for index, image in enumerate(pillows()):
        image.save(place / f"{index:02}.png")
    return place


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """A shard of WebDataset, with a label beside each image."""
    path = tmp_path_factory.mktemp("shards") / "images.tar"
    with tarfile.open(path, "w") as tar:
        for index, image in enumerate(pillows()):
            for suffix, content in (("png", png(image)), ("cls", str(index).encode())):
                entry = tarfile.TarInfo(f"{index:02}.{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return path


def hugging_face(masked: bool = False):
    datasets = library("datasets")

    # Not by `from_dict`, which datasets 5.2 and dill 0.4.1 fail at beside Python 3.11.
    with tempfile.TemporaryDirectory() as folder:
        whole = datasets.Dataset.from_generator(
            rows, gen_kwargs={"masked": masked}, cache_dir=folder, keep_in_memory=True
        )
    return whole


def rows(masked: bool):
    for number, image in enumerate(pillows()):
        yield {"image": image, "label": number, **({"mask": Image.new("RGB", (8, 8))} if masked else {})}


def web_data_set(shard, decoder="pil"):
    return library("webdataset").WebDataset(str(shard), shardshuffle=False).decode(decoder)


GIVEN = {
    "folder": lambda folder, shard: folder,
    "path as text": lambda folder, shard: str(folder),
    "images of Pillow": lambda folder, shard: pillows(),
    "tuple of images": lambda folder, shard: [(image, 3) for image in pillows()],
    "generator of Pillow's": lambda folder, shard: iter(pillows()),
    "list of tensors": lambda folder, shard: list(PIXELS),
    "generator of arrays": lambda folder, shard: (image.numpy() for image in PIXELS),
    "generator of batches": lambda folder, shard: iter(PIXELS.split(5)),
    "generator of dictionaries": lambda folder, shard: ({"image": image, "label": 1} for image in PIXELS),
    "loader": lambda folder, shard: DataLoader(TensorDataset(PIXELS, LABELS), 5),
    "loader without labels": lambda folder, shard: DataLoader(list(PIXELS), 7),
    "loader of floats": lambda folder, shard: DataLoader(TensorDataset(PIXELS / 255), 4),
    "loader of dictionaries": lambda folder, shard: DataLoader([{"image": image, "label": 1} for image in PIXELS], 4),
    "loader of Pillow's": lambda folder, shard: DataLoader(pillows(), 4, collate_fn=list),
    "loader of lists of tensors": lambda folder, shard: DataLoader(list(PIXELS), 4, collate_fn=list),
    "loader of lists of samples": lambda folder, shard: DataLoader(
        TensorDataset(PIXELS, LABELS), 4, collate_fn=lambda batch: batch
    ),
    "loader of lists of Pillow's samples": lambda folder, shard: DataLoader(
        [(image, 3) for image in pillows()], 4, collate_fn=list
    ),
    "loader of lists of dictionaries": lambda folder, shard: DataLoader(
        [{"image": image, "label": 1} for image in pillows()], 4, collate_fn=list
    ),
    "loader of columns": lambda folder, shard: DataLoader(
        [(image, 3) for image in pillows()], 4, collate_fn=lambda batch: tuple(zip(*batch, strict=True))
    ),
    "loader of a list of columns": lambda folder, shard: DataLoader(
        TensorDataset(PIXELS, LABELS), 4, collate_fn=lambda batch: list(zip(*batch, strict=True))
    ),
    "loader of tuples of Pillow's": lambda folder, shard: DataLoader(pillows(), 4, collate_fn=tuple),
    "loader of stacked columns": lambda folder, shard: DataLoader(
        TensorDataset(PIXELS, LABELS),
        4,
        collate_fn=lambda batch: (torch.stack([image for image, _ in batch]), [label for _, label in batch]),
    ),
    "loader of nested samples": lambda folder, shard: DataLoader([((image, image.flip(2)), 1) for image in PIXELS], 4),
    "loader of batches of indices": lambda folder, shard: DataLoader(
        TensorDataset(PIXELS, LABELS), sampler=BatchSampler(SequentialSampler(PIXELS), 4, False), batch_size=None
    ),
    "loader of single samples": lambda folder, shard: DataLoader(TensorDataset(PIXELS, LABELS), batch_size=None),
    "loader of one in a batch": lambda folder, shard: DataLoader(list(PIXELS), 1, collate_fn=list),
    "generator of lists": lambda folder, shard: (list(some) for some in PIXELS.split(5)),
    "generator of lists of Pillow's": lambda folder, shard: iter([pillows()]),
    "generator of lists of samples": lambda folder, shard: iter([[(image, 3) for image in pillows()]]),
    "generator of samples in lists": lambda folder, shard: ([image, 3] for image in PIXELS),
    "Hugging Face": lambda folder, shard: hugging_face(),
    "Hugging Face in a loader of lists": lambda folder, shard: DataLoader(hugging_face(), 6, collate_fn=list),
    "Hugging Face of torch": lambda folder, shard: hugging_face().with_format("torch"),
    "Hugging Face, streamed": lambda folder, shard: hugging_face().to_iterable_dataset(),
    "Hugging Face in batches": lambda folder, shard: hugging_face().iter(batch_size=6),
    "Hugging Face in a loader": lambda folder, shard: DataLoader(hugging_face().with_format("torch"), 6),
    "WebDataset": lambda folder, shard: web_data_set(shard),
    "WebDataset of tuples": lambda folder, shard: web_data_set(shard).to_tuple("png", "cls"),
    "WebDataset of torch": lambda folder, shard: web_data_set(shard, "torchrgb8"),
    "WebDataset in a loader": lambda folder, shard: DataLoader(
        web_data_set(shard, "torchrgb").to_tuple("png", "cls"), batch_size=4
    ),
}
# Under torchrgb8 WebDataset has (C, H, W), too.


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    model = ConvAutoencoder(3, 8, width=4)
    return Trainer(model, epochs=1, batch_size=8, progress=False).fit(PIXELS, PIXELS[:4])


@pytest.fixture(params=GIVEN.values(), ids=GIVEN.keys())
def given(request, folder, shard):
    return lambda: request.param(folder, shard)


def test_scores_are_those_of_the_array(detector, given):
    scorer = Scorer.from_detector(detector)
    expected = scorer.score(PIXELS)
    for batch_size in (4, 512):
        torch.testing.assert_close(scorer.score(given(), batch_size).anomaly, expected.anomaly)


def test_training_is_that_on_the_array(given):
    """With validation images held out of it, which are the same images of the array."""

    def trained(images):
        torch.manual_seed(0)
        return Trainer(ConvAutoencoder(3, 8, width=4), epochs=1, batch_size=8, progress=False).fit(images)

    expected, found = trained(PIXELS), trained(given())
    assert found.training["train_images"] == COUNT - 2
    assert found.training["validation_images"] == 2
    for name, reference in expected.references.items():
        torch.testing.assert_close(found.references[name], reference)


def test_files_are_brought_to_the_size_that_the_detector_has(detector, tmp_path):
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    large.save(tmp_path / "large.png")
    scorer = Scorer.from_detector(detector)
    expected = scorer.score(tmp_path).anomaly
    assert len(expected) == 1
    for same in (large, [large], iter([large]), tmp_path / "large.png"):
        assert torch.equal(scorer.score(same).anomaly, expected)


def test_frames_that_a_list_names_are_the_ones_that_are_scored(detector, tmp_path):
    frames = pillows()[:3]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    (tmp_path / "list.csv").write_text("path,frame\na.tif,2\na.tif,0\n")
    scorer = Scorer.from_detector(detector)
    expected = scorer.score([frames[2], frames[0]]).anomaly
    assert torch.equal(scorer.score(tmp_path / "list.csv").anomaly, expected)


def test_pillows_images_lie_as_their_orientation_says(detector, tmp_path):
    image = pillows()[0]
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    scorer = Scorer.from_detector(detector)
    expected = scorer.score(PIXELS[:1].rot90(-1, (2, 3))).anomaly
    assert torch.equal(scorer.score(Image.open(tmp_path / "turned.png")).anomaly, expected)


def test_a_key_chooses_among_images(detector):
    scorer = Scorer.from_detector(detector)
    expected = scorer.score(PIXELS).anomaly
    for images in (hugging_face(masked=True), iter([{"image": image, "mask": image * 0} for image in PIXELS])):
        assert torch.equal(scorer.score(images, key="image").anomaly, expected)
    with pytest.raises(TypeError, match=r"'image', 'label', 'mask' has 2 images; say which by key"):
        scorer.score(hugging_face(masked=True))
    with pytest.raises(KeyError, match="no 'picture' among 'image'"):
        scorer.score(hugging_face(), key="picture")
    with pytest.raises(TypeError, match="a key 'image', but a Tensor instead of a dictionary"):
        scorer.score(list(PIXELS), key="image")


def test_a_share_is_held_out_for_validation():
    model = ConvAutoencoder(3, 8, width=4)
    detector = Trainer(model, epochs=1, progress=False).fit(PIXELS, 0.5)
    assert (detector.training["train_images"], detector.training["validation_images"]) == (11, 12)
    for share, message in ((0.0, "above 0 and below 1, got 0.0"), (0.99, "leaves none to learn from")):
        with pytest.raises(ValueError, match=message):
            Trainer(model, epochs=1, progress=False).fit(PIXELS, share)


def test_in_the_layout_of_mvtec_training_is_on_good_images(tmp_path):
    for number, room in enumerate(["train/good"] * 6 + ["test/good", "test/hole"]):
        (tmp_path / room).mkdir(parents=True, exist_ok=True)
        pillows()[number].save(tmp_path / room / f"{number}.png")
    detector = Trainer(ConvAutoencoder(3, 8, width=4), epochs=1, progress=False).fit(tmp_path)
    assert detector.training["train_images"] + detector.training["validation_images"] == 6


def test_a_stream_is_not_read_before_it_is_needed():
    taken = []

    def images():
        for image in PIXELS:
            taken.append(image)
            yield image

    batches = stream_batches(images(), 4, False, None, None)
    assert len(next(batches)) == 4
    assert len(taken) == 4
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 3]


def test_a_stream_of_bytes_and_floats_is_of_floats():
    mixed = as_image_dataset(iter([PIXELS[0], PIXELS[1] / 255]))
    torch.testing.assert_close(torch.stack([mixed[0], mixed[1]]), PIXELS[:2] / 255)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (lambda: iter([]), ValueError, "there are no images"),
        (lambda: iter([PIXELS[0], PIXELS[0, :, :4]]), ValueError, r"image 1 has shape \(3, 4, 8\); the first one"),
        (lambda: iter([PIXELS[0] / 255 + 1]), ValueError, "image 0 has floating-point pixels from 1"),
        (lambda: iter(["a.png"]), TypeError, "item 0 of the dataset is a str"),
        (lambda: {"train": PIXELS}, TypeError, "images are a dict"),
        (lambda: "nowhere", FileNotFoundError, "nowhere: no such folder"),
        (lambda: iter(PIXELS.permute(0, 2, 3, 1)), ValueError, "the channels come last"),
    ],
)
def test_what_cannot_be_scored(detector, images, error, message):
    with pytest.raises(error, match=message):
        Scorer.from_detector(detector).score(images())


def test_a_folder_needs_a_model_that_tells_its_size(detector, folder):
    class Unknown(torch.nn.Sequential):
        pass

    model = Unknown(torch.nn.Identity())
    model.decoder = torch.nn.Conv2d(3, 3, 1)
    with pytest.raises(ValueError, match="how image files become the model's input is not known"):
        Trainer(model, epochs=1, progress=False).fit(folder)
    facts = {"channels": 3, "size": [8, 8]}
    assert Trainer(model, epochs=1, progress=False, preprocessing=facts).fit(folder).preprocessing == facts


GREY = PIXELS[:, 0]


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(GREY, 4),
        DataLoader(GREY, batch_sampler=BatchSampler(SequentialSampler(GREY), 4, False)),
        DataLoader(GREY, batch_size=None, sampler=BatchSampler(SequentialSampler(GREY), 4, False)),
        DataLoader(GREY, batch_size=None),
        DataLoader(GREY, 3, collate_fn=list),
        DataLoader(TensorDataset(GREY, GREY), 3),
    ],
    ids=["batches", "batch sampler", "batches of indices", "single images", "lists", "columns"],
)
def test_a_batch_of_grey_images_is_no_image_of_as_many_channels(loader):
    batches = list(stream_batches(loader, 100, False, None, None))
    assert torch.equal(torch.cat(batches), GREY[:, None])


def masked(image):
    return image, image[:1]


@pytest.mark.parametrize(
    "images",
    [
        DataLoader([(image, image.flip(2)) for image in PIXELS], 4, collate_fn=list),
        DataLoader([masked(image) for image in PIXELS], 4, collate_fn=list),
        DataLoader(list(GREY), 4, collate_fn=lambda batch: (torch.stack(batch), torch.stack(batch))),
        DataLoader([masked(image) for image in PIXELS], batch_size=None),
        [list(PIXELS[:4]), list(PIXELS[4:])],
    ],
    ids=["pairs", "masks", "grey columns", "converted samples", "data set of lists"],
)
def test_what_may_be_read_in_two_ways_is_refused(detector, images):
    with pytest.raises(TypeError, match=r"may all be|is a list; expected an image"):
        Scorer.from_detector(detector).score(images)
