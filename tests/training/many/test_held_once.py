from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from gradcon_ext.data.images import as_image_dataset
from gradcon_ext.training.many.held_once import in_files, on_device
from support.many_runs import load_images, new_run
from support.training_runs import TRAIN, VAL


def as_sent(runs, folder):
    return pickle.loads(pickle.dumps(in_files(runs, folder)))


def test_images_of_several_runs_are_in_one_file_and_not_sent(tmp_path):
    runs = [new_run("a", images=(TRAIN, VAL)), new_run("b", images=(TRAIN, VAL[:4]))]
    sent = in_files(runs, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert len(pickle.dumps([run.images for run in sent])) < 1000
    train, val = as_sent(runs, tmp_path)[1].images()
    assert isinstance(train, np.memmap)
    assert torch.equal(as_image_dataset(train).stored_span(0, 40), TRAIN)
    assert torch.equal(as_image_dataset(val).stored_span(0, 40), VAL[:4])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("place", ["files", "device"])
def test_images_are_the_same_in_every_dtype(dtype, place, tmp_path):
    images = (TRAIN * 255).to(dtype) if dtype == torch.uint8 else TRAIN.to(dtype)
    run = new_run("a", images=(images, VAL))
    held = as_sent([run], tmp_path)[0].images() if place == "files" else on_device([run], "cpu")[0].images
    assert torch.equal(as_image_dataset(held[0]).stored_span(0, 40), as_image_dataset(images).stored_span(0, 40))


def test_arrays_of_any_layout_come_to_a_device():
    pixels = (TRAIN * 255).to(torch.uint8).numpy()
    for images in (pixels[::-1], np.asfortranarray(pixels), TRAIN.numpy().astype(">f4")):
        (run,) = on_device([new_run("a", images=(images, VAL))], "cpu")
        assert torch.equal(
            as_image_dataset(run.images[0]).stored_span(0, 40), as_image_dataset(images).stored_span(0, 40)
        )
        assert torch.equal(run.images[1], VAL)


def test_what_loads_images_and_data_sets_are_left_as_they_are(tmp_path):
    loading, data_set = new_run("a", images=load_images), new_run("b", images=(TensorDataset(TRAIN), VAL))
    assert on_device([loading, data_set], "cpu")[0] is loading
    assert in_files([loading], tmp_path)[0] is loading
    train, _ = as_sent([data_set], tmp_path)[0].images()
    assert torch.equal(as_image_dataset(train).stored_span(0, 40), TRAIN)
