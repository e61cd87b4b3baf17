"""Photographs, and what is trained on their tiles or feature maps by the command."""

from __future__ import annotations

import csv
import io

import numpy as np
import torch
from PIL import Image

from gradcon_ext import Detector
from gradcon_ext.cli import main
from support.threads import torch_threads

FAST = ("--epochs", "1", "--tiles", "200", "--width", "4", "--channels", "1")
TILES = (*FAST, "--tile", "16", "--pool", "max")
NETWORK = """\
import torch


def small():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(5, 6, 3, stride=2))
"""
FEATURES = ("--features", "taking_network:small", "--stages", "0,2", "--grid", "4", "--size", "24", "--bands", "1,3")
NETWORK_OF = {"tiles_run": (), "features_run": ("--features", "taking_network:small")}
"""Runs of the fixtures, and the option that scoring with them takes."""


def draw(folder, count, sizes, seed, defect=None):
    """Stripes, in some of which there is a defect, whose masks are in another folder."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for number in range(count):
        height, width = sizes[number % len(sizes)]
        columns = np.arange(width) / 4 + generator.uniform(0, 6)
        pixels = 120 + 60 * np.sin(columns)[None] + generator.normal(0, 4, (height, width))
        mask = np.zeros((height, width), np.uint8)
        mask[8:20, 10:24] = 255
        if defect is not None:
            pixels[mask > 0] = generator.uniform(0, 255, (mask > 0).sum())
            Image.fromarray(mask).save(defect / f"{number:02}_mask.png")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:02}.png")


def trained(photos, folder, *options):
    with torch_threads(1):
        assert main(["train", "--images", str(photos), "--out", str(folder), "--quiet", *options]) == 0
    return folder


def image_facts(folder):
    facts = Detector.load(folder).preprocessing
    return facts["image"]["size"], facts["tiles"]


def pixels_of(path):
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image)[None].copy())


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))
