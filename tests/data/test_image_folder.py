from __future__ import annotations

import tarfile

import numpy as np
import PIL
import pytest
import torch
from PIL import Image

from gradcon_ext.data import read_image_folder
from gradcon_ext.data.image_dataset import batches
from gradcon_ext.data.images import as_image_dataset

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
RAMP = np.linspace(0, 65535, 48).round().astype(np.uint16).reshape(6, 8)


def one_image(path, channels=1, size=(6, 8)):
    (image,) = read_image_folder(path.parent, channels, size)
    return image


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def test_images_are_found_in_order(tmp_path):
    names = ["b.png", "a/z.BMP", "a/b/c.tif", "a.jpeg", "c.webp", "d.jpg", "e.tiff", "f.ppm", "g.gif"]
    for name in names:
        save(tmp_path / name, COLOUR)
    save(tmp_path / ".hidden.png", COLOUR)
    save(tmp_path / ".cache" / "thumbnail.png", COLOUR)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    folder = read_image_folder(str(tmp_path), 3, 5)
    found = [path.relative_to(tmp_path).as_posix() for path in folder.paths]
    assert found == sorted(names, key=lambda name: name.split("/"))
    assert len(folder) == len(names)
    assert folder.shape == (3, 5, 5)
    assert all(image.shape == (3, 5, 5) for image in batches(folder, 4).__next__())


def test_pixels_are_kept_at_their_own_size(tmp_path):
    image = one_image(save(tmp_path / "a.png", COLOUR), channels=3)
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    assert torch.equal(image, torch.from_numpy(COLOUR).permute(2, 0, 1) / 255)


def test_images_are_converted_to_grey_and_to_colour(tmp_path):
    grey = np.asarray(Image.fromarray(COLOUR).convert("L"))
    assert torch.equal(one_image(save(tmp_path / "colour" / "a.png", COLOUR))[0], torch.tensor(grey) / 255)
    colour = one_image(save(tmp_path / "grey" / "a.png", grey), channels=3)
    assert torch.equal(colour, (torch.tensor(grey) / 255).expand(3, 6, 8))


_YCBCR = pytest.param(
    "YCbCr", marks=pytest.mark.skipif(int(PIL.__version__.partition(".")[0]) < 13, reason="which Pillow misreads")
)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", _YCBCR])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_is_read(tmp_path, mode, channels):
    Image.new("RGB", (8, 6), "white").convert(mode).save(tmp_path / "white.tif")
    assert (one_image(tmp_path / "white.tif", channels) == 1).all()


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path):
    image = Image.new("RGB", (8, 6), "white").quantize(4)
    image.save(tmp_path / "a.png", transparency=bytes([128] * 4))
    assert (one_image(tmp_path / "a.png") == 1).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_grey_of_16_bits_is_scaled_not_clipped(tmp_path, name):
    image = one_image(save(tmp_path / name, RAMP))
    np.testing.assert_allclose(image[0], RAMP / 65535, atol=0.5001 / 255)
    assert (image.min(), image.max()) == (0, 1)


def test_grey_of_16_bits_in_either_byte_order_and_in_32_bits(tmp_path):
    big_endian = Image.frombytes("I;16B", (8, 6), RAMP.astype(">u2").tobytes())
    big_endian.save(tmp_path / "big.tif")
    save(tmp_path / "little.tif", RAMP)
    save(tmp_path / "wide.tif", RAMP.astype(np.int32))
    big, little, wide = read_image_folder(tmp_path, 3, (6, 8))
    assert torch.equal(big, little)
    assert torch.equal(wide, little)


@pytest.mark.parametrize(
    ("pixels", "problem"),
    [
        (np.full((6, 8), 70000, np.int32), "70000 to 70000.* 8 or 16 bits"),
        (np.full((6, 8), -1, np.int32), "-1 to -1"),
        (np.full((6, 8), 1.5, np.float32), "floating-point .* 1.5 to 1.5; .* 0 to 1"),
    ],
)
def test_pixels_of_unknown_range_are_refused(tmp_path, pixels, problem):
    save(tmp_path / "odd.tif", pixels)
    with pytest.raises(ValueError, match=f"odd.tif: .*{problem}"):
        one_image(tmp_path / "odd.tif")


def test_the_orientation_is_respected(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = save(tmp_path / "a.png", COLOUR[::-1, ::-1].copy(), exif=exif)
    assert torch.equal(one_image(path, channels=3), torch.from_numpy(COLOUR).permute(2, 0, 1) / 255)


def test_shrinking_is_antialiased(tmp_path):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    image = one_image(save(tmp_path / "a.png", stripes), size=8)
    assert (image - 0.5).abs().max() < 0.07


def test_the_folder_is_an_image_dataset(tmp_path):
    for index in range(5):
        save(tmp_path / f"{index}.png", np.full((9, 9), 51 * index, np.uint8))
    folder = read_image_folder(tmp_path, 1, 4)
    dataset = as_image_dataset(folder, channels=1, size=4)
    assert dataset is folder
    values = [batch.amax(dim=(1, 2, 3)).tolist() for batch in batches(dataset, 2)]
    assert [len(batch) for batch in values] == [2, 2, 1]
    np.testing.assert_allclose(np.concatenate(values), np.arange(5) / 5, rtol=1e-6)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_an_unreadable_file_is_named_when_it_is_read(tmp_path, content):
    save(tmp_path / "a.png", COLOUR)
    (tmp_path / "b.png").write_bytes(content)
    folder = read_image_folder(tmp_path, 3, 4)
    assert folder[0].shape == (3, 4, 4)
    with pytest.raises(ValueError, match=r"/b\.png: .*image"):
        list(batches(folder, 8))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp"])
def test_a_truncated_file_is_named(tmp_path, name):
    path = save(tmp_path / name, np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"/{name}: .*image"):
        one_image(path, channels=3)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="/nowhere: .*folder"):
        read_image_folder(tmp_path / "nowhere", 1, 8)


def test_a_file_is_no_folder(tmp_path):
    with pytest.raises(NotADirectoryError, match=r"a\.png: is a file"):
        read_image_folder(save(tmp_path / "a.png", COLOUR), 1, 8)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match=rf"{tmp_path}: no images.* \.bmp, "):
        read_image_folder(tmp_path, 1, 8)


def test_bad_channels_and_sizes_are_refused(tmp_path):
    save(tmp_path / "a.png", COLOUR)
    with pytest.raises(ValueError, match="channels.* 1 .* 3 .* 2$"):
        read_image_folder(tmp_path, 2, 8)
    with pytest.raises(ValueError, match="size .* 0$"):
        read_image_folder(tmp_path, 1, 0)


def test_real_traffic_signs(data_root, tmp_path):
    wanted = {}
    with tarfile.open(data_root / "gtsrb-as-cure-tsr" / "gtsrb-as-cure-tsr.tar.gz") as archive:
        for member in archive:
            if member.name.endswith(".bmp") and len(wanted) < 20:
                wanted[member.name.rsplit("/", 1)[1]] = archive.extractfile(member).read()
    for name, content in wanted.items():
        (tmp_path / name).write_bytes(content)
    folder = read_image_folder(tmp_path, 3, 28)
    assert [path.name for path in folder.paths] == sorted(wanted)
    (images,) = batches(folder, 20)
    assert images.shape == (20, 3, 28, 28)
    assert (images.flatten(1).std(dim=1) > 0.01).all()
