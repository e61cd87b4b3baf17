"""Decoding with its facts, several at a time, and the range of values that images use."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from PIL import Image

from gradcon_ext.data.reading import (
    ImageFile,
    Preparation,
    UnreadableImage,
    decode,
    range_of,
    read_images,
    with_frames,
)
from gradcon_ext.data.reading.decoded import turn_upright
from gradcon_ext.data.reading.parallel import in_order
from gradcon_ext.data.reading.sizes import sizes_of
from gradcon_ext.data.reading.value_range import range_of_values
from support.libraries import library


def test_results_come_in_order_from_a_bounded_number_of_items():
    taken, together, lock = [], [], threading.Lock()
    running = 0

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    def square(number):
        nonlocal running
        with lock:
            running += 1
            together.append(running)
        threading.Event().wait(0.001 * (number % 3))
        with lock:
            running -= 1
        return number * number

    results = in_order(square, items(), workers=3)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(taken) < 20
    assert list(results) == [number * number for number in range(5, 100)]
    assert max(together) == 3


def test_what_a_worker_raises_is_raised_at_its_turn_and_ends_the_others():
    begun = []

    def checked(number):
        begun.append(number)
        if number == 4:
            raise ValueError("four")
        return number

    results = in_order(checked, range(1000), workers=2)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="four"):
        next(results)
    assert len(begun) < 30


def test_a_reader_that_is_left_ends_its_threads():
    results = in_order(lambda number: number, range(1000), workers=2)
    next(results)
    results.close()
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("reading")]
    for thread in threading.enumerate():
        if thread.name in names:
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_arrays_are_turned_as_pillow_turns(tmp_path, orientation):
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.png", exif=exif)
    decoded = decode(tmp_path / "a.png")
    assert decoded.turned == (orientation != 1)
    assert np.array_equal(turn_upright(pixels[None], orientation)[0], np.asarray(decoded.pixels))


def test_the_facts_of_a_file(tmp_path):
    Image.new("1", (5, 3)).save(tmp_path / "a.tif", save_all=True, append_images=[Image.new("L", (4, 4))])
    decoded = decode(tmp_path / "a.tif")
    assert (decoded.format, decoded.mode, decoded.bits, decoded.frames, decoded.turned) == ("TIFF", "1", 1, 2, False)
    assert (decode(tmp_path / "a.tif", 1).mode, decode(tmp_path / "a.tif", 1).pixels.size) == ("L", (4, 4))
    with pytest.raises(UnreadableImage, match="there is no frame 2: it has 2"):
        decode(tmp_path / "a.tif", 2)


def test_frames_are_the_first_one_of_them_or_all(tmp_path):
    frames = [Image.new("L", (4, 4), level) for level in (0, 51, 102)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[2].save(tmp_path / "b.png")
    (tmp_path / "c.gif").write_bytes(b"no image")
    files = [ImageFile(tmp_path / name) for name in ("a.gif", "b.png", "c.gif")]

    def levels(frame):
        preparation = Preparation(1, (4, 4), frame=frame)
        readings = read_images(with_frames(files, preparation), preparation)
        return [None if reading.pixels is None else int(reading.pixels[0, 0, 0]) for reading in readings]

    assert levels(0) == [0, 102, None]
    assert levels(2) == [102, None, None]
    assert levels("all") == [0, 51, 102, 102, None]


def test_a_frame_that_is_named_stays_one_image(tmp_path):
    frames = [Image.new("L", (4, 4), level) for level in (0, 51, 102)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    named = [ImageFile(tmp_path / "a.gif", frame, bool(frame), names_frame=True) for frame in (0, 2)]
    for frame in (0, 1, "all"):
        assert with_frames(named, Preparation(1, (4, 4), frame=frame)) == named
    mixed = with_frames([named[1], ImageFile(tmp_path / "a.gif")], Preparation(1, (4, 4), frame="all"))
    assert [file.frame for file in mixed] == [2, 0, 1, 2]


def test_bits_and_size_are_those_of_the_frame(tmp_path):
    frames = [Image.new("L", (4, 4)), Image.fromarray(np.full((5, 6), 1023, np.uint16))]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    second = ImageFile(tmp_path / "a.tif", 1, names_frame=True)
    assert range_of([second]) == (0, 1023)
    assert list(sizes_of([second])) == [(5, 6)]
    assert range_of([ImageFile(tmp_path / "a.tif", 7)]) is None


def test_sixteen_bits_where_white_is_zero(tmp_path):
    tifffile = library("tifffile")
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    assert np.array_equal(decode(tmp_path / "a.tif").pixels[0], 65535 - pixels)


def test_without_the_extra_the_message_names_it(tmp_path, monkeypatch):
    library("tifffile").imwrite(tmp_path / "a.tif", np.zeros((4, 4, 3), np.uint16), photometric="rgb")
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(UnreadableImage, match=r"tifffile, .* pip install 'gradcon_ext\[formats\]'"):
        decode(tmp_path / "a.tif")


def test_a_reduced_jpeg_is_nearly_the_same(tmp_path):
    noise = Image.effect_noise((640, 480), 60).convert("RGB")
    noise.save(tmp_path / "a.jpg", quality=95)
    (whole,), (reduced,) = (
        read_images([ImageFile(tmp_path / "a.jpg")], Preparation(3, (32, 32), reduced_jpeg=reduce))
        for reduce in (False, True)
    )
    difference = (whole.pixels.float() - reduced.pixels.float()).abs()
    assert 0 < difference.max() < 8
    assert decode(tmp_path / "a.jpg", enough=(64, 64)).pixels.size == (160, 120)
    assert decode(tmp_path / "a.jpg").pixels.size == (640, 480)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ([np.full((2, 2), 9, np.uint8)], (0, 255)),
        ([np.full((2, 2), 1023, np.uint16), np.full((2, 2), 5, np.uint16)], (0, 1023)),
        ([np.full((2, 2), 1024, np.uint16)], (0, 4095)),
        ([np.full((2, 2), 4096, np.uint16)], (0, 16383)),
        ([np.full((2, 2), 16384, np.uint16)], (0, 65535)),
        ([np.full((2, 2), 0.25, np.float32)], (0, 1)),
        ([np.full((2, 2), -3, np.float32), np.full((2, 2), 7.5, np.float32)], (-3, 7.5)),
        ([np.full((2, 2), 3, np.float32)], (3, 4)),
        ([np.full((2, 2), 9, np.uint8), np.full((2, 2), 1023, np.uint16)], None),
    ],
)
def test_the_range_of_images(tmp_path, arrays, expected):
    files = [ImageFile(tmp_path / "gone.tif")]
    for number, array in enumerate(arrays):
        files.append(ImageFile(tmp_path / f"{number}.tif"))
        Image.fromarray(array).save(files[-1].path)
    assert range_of(files) == expected


def test_the_range_of_some_images():
    values = [(16, 0.0, 5.0), (16, 7.0, 1023.0), (16, 3.0, 4000.0)]
    assert range_of_values(values, [0, 1]) == (0, 1023)
    assert range_of_values([*values, (8, 0.0, 255.0)], [0, 1]) is None
    assert range_of_values([(32, -1.0, 9.0), (32, -2.0, 8.0)], np.array([1])) == (-2, 8)


def test_images_are_read_in_order(tmp_path):
    for number in range(20):
        Image.new("L", (4, 4), number).save(tmp_path / f"{number}.png")
    files = [ImageFile(tmp_path / f"{number}.png") for number in range(20)]
    readings = list(read_images(files, Preparation(1, (4, 4)), workers=3))
    assert [reading.file for reading in readings] == files
    assert torch.equal(
        torch.stack([reading.pixels for reading in readings])[:, 0, 0, 0], torch.arange(20, dtype=torch.uint8)
    )
