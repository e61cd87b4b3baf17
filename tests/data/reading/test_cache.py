from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gradcon_ext.data.image_dataset import batches
from gradcon_ext.data.reading import (
    ImageFile,
    Preparation,
    UnreadableImage,
    cached_images,
    find_images,
    read_images,
    remove_caches,
)

BYTES = Preparation(3, (6, 5), range=(0.0, 255.0))
WORDS = Preparation(1, (6, 8), range=(0.0, 4095.0))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(7):
        Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def cached(photos, preparation=BYTES):
    files = find_images(photos).files
    return cached_images(files, preparation, photos.parent, partial(read_images, preparation=preparation, workers=1))


def never(files):
    raise AssertionError("the images are in the cache already")


def caches(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".cache")


def test_bytes_are_those_of_the_reader(photos):
    images, told = cached(photos)
    expected = torch.stack([reading.pixels for reading in read_images(find_images(photos).files, BYTES)])
    assert told == []
    assert images.shape == (3, 6, 5)
    assert torch.equal(images.stored_span(0, 7), expected)
    assert torch.equal(images.stored(3), expected[3])
    assert torch.equal(images.stored_take(torch.tensor([6, 0, 0])), expected[[6, 0, 0]])
    chosen = images.selected(np.array([5, 1])).selected(np.array([1, 0]))
    assert torch.equal(chosen.stored_span(0, 2), expected[[1, 5]])
    assert images.stored(0).dtype == torch.uint8


def test_twelve_bits_come_back_as_they_are_scored(tmp_path):
    folder = tmp_path / "words"
    folder.mkdir()
    words = np.random.default_rng(0).integers(0, 4096, (3, 6, 8)).astype(np.uint16)
    for number, image in enumerate(words):
        Image.fromarray(image).save(folder / f"{number}.png")
    (whole,) = batches(cached(folder, WORDS)[0], 3)
    assert np.array_equal(whole[:, 0].numpy(), words.astype(np.float32) / np.float32(4095))
    smaller = Preparation(1, (3, 4), range=(0.0, 4095.0))
    (some,) = batches(cached(folder, smaller)[0], 3)
    scored = torch.stack([reading.pixels for reading in read_images(find_images(folder).files, smaller)])
    assert (some - scored).abs().max() <= 0.51 / 65520


def test_images_of_several_depths_share_a_cache(photos):
    Image.fromarray(np.full((6, 8), 12345, np.uint16)).save(photos / "word.png")
    preparation = Preparation(1, (6, 8))
    (images,) = batches(cached(photos, preparation)[0], 8)
    expected = [reading.pixels for reading in read_images(find_images(photos).files, preparation)]
    assert torch.equal(images[0], expected[0] / 255)
    assert images[7].unique().tolist() == [np.float32(12345) / np.float32(65535)]


def test_a_cache_is_used_again_until_something_changes(photos):
    files = find_images(photos).files
    first, _ = cached(photos)
    again, _ = cached_images(files, BYTES, photos.parent, never)
    assert torch.equal(first.stored_span(0, 7), again.stored_span(0, 7))
    Image.new("RGB", (8, 6), "red").save(photos / "3.png")
    changed, _ = cached(photos)
    assert changed.stored(3)[:, 0, 0].tolist() == [255, 0, 0]
    status = (photos / "3.png").stat()
    os.utime(photos / "3.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    for preparation in (BYTES, Preparation(3, (6, 5), "pad", (0.0, 255.0))):
        with pytest.raises(AssertionError, match="already"):
            cached_images(files, preparation, photos.parent, never)


def test_a_damaged_cache_is_read_anew(photos):
    cached(photos)
    path = photos.parent / caches(photos.parent)[0]
    for damaged in (path.read_bytes()[:-5], b"", path.read_bytes()[3:]):
        path.write_bytes(damaged)
        images, _ = cached(photos)
        assert len(images) == 7


def test_bad_images_are_told_each_time(photos):
    (photos / "4.png").write_bytes(b"no image")
    for _ in range(2):
        images, told = cached(photos)
        assert len(images) == 6
        assert [str(reading.error) for reading in told] == [
            f"{photos / '4.png'}: cannot be read as an image (cannot identify image file {str(photos / '4.png')!r})"
        ]
    expected = [reading.pixels for reading in read_images(find_images(photos).files, BYTES) if not reading.error]
    assert torch.equal(images.stored_span(0, 6), torch.stack(expected))


def test_values_beyond_the_range_are_told(photos):
    Image.fromarray(np.full((6, 8), 5000, np.uint16)).save(photos / "word.png")
    preparation = Preparation(1, (6, 8), range=(0.0, 255.0))
    for _ in range(2):
        images, told = cached(photos, preparation)
        assert [(reading.file.path.name, reading.beyond) for reading in told] == [("word.png", (5000, 5000))]
    assert images.stored(7).unique().tolist() == [255]


def test_nothing_but_bad_images(photos):
    for path in photos.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of 7 images .*/0\.png: .* the file is empty|none of 7 images .*empty"):
        cached(photos)


def test_a_reader_that_fails_leaves_nothing(photos):
    def failing(files):
        yield next(iter(read_images(files, BYTES)))
        raise UnreadableImage(photos, "enough")

    with pytest.raises(UnreadableImage, match="enough"):
        cached_images(find_images(photos).files, BYTES, photos.parent, failing)
    assert os.listdir(photos.parent) == ["photos"]


def test_caches_alone_are_removed(photos):
    cached(photos)
    folder = photos.parent
    name = ".images-" + 32 * "0" + ".cache"
    (folder / name).write_text("of somebody else")
    (folder / f".{'.images-' + 32 * '0'}.gradcon-partial-01234567.cache").write_text("half")
    assert len(caches(folder)) == 3
    remove_caches(folder)
    assert caches(folder) == [name]


LIMITED = """
import sys
from functools import partial
from pathlib import Path
import numpy as np, torch
from gradcon_ext.data.image_dataset import batches
from gradcon_ext.data.reading import Preparation, cached_images, find_images, read_images
from gradcon_ext.data.reading import cache

def peak():  # of this process alone, where `resource` may tell that of the one that started it
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0])


cache._RESIDENT = 1 << 22
folder = Path(sys.argv[1])
preparation = Preparation(3, (256, 256), range=(0.0, 255.0))
read = partial(read_images, preparation=preparation, workers=2)
files = find_images(folder).files
list(read(files[:8]))
before = peak()
images, _ = cached_images(files, preparation, folder.parent, read)
for batch in batches(images, 4, torch.randperm(len(images))):
    assert batch.shape == (4, 3, 256, 256)
print(len(images) * 3 * 256 * 256 // 1024, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak of a process")
def test_memory_does_not_grow_with_the_images(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.effect_noise((256, 256), 50).convert("RGB").save(folder / "0.bmp")
    for number in range(1, 500):
        os.link(folder / "0.bmp", folder / f"{number}.bmp")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    kilobytes, grown = map(int, done.stdout.split())
    assert kilobytes == 96_000
    assert grown < 40_000, f"{grown} kB more for images of {kilobytes} kB as bytes, {4 * kilobytes} kB as floats"


def test_an_image_that_is_missing_has_a_place_all_the_same(photos):
    files = [ImageFile(photos / "gone.png"), *find_images(photos).files]
    read = partial(read_images, preparation=BYTES, workers=1)
    images, told = cached_images(files, BYTES, photos.parent, read)
    assert (len(images), len(told)) == (7, 1)
