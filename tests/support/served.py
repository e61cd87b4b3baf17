"""Small detectors of image files, and files for them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gradcon_ext import Detector, balanced, calibrated
from gradcon_ext.models import ConvAutoencoder

SHAPE = (1, 8, 8)


def random_bytes(shape: tuple[int, ...] = SHAPE, count: int = 21, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def write_detector(path: Path, shape: tuple[int, int, int] = SHAPE, plain: bool = False, **facts: Any) -> Path:
    """A detector with balance and calibration, unless it is plain, of images that the facts say how to prepare."""
    torch.manual_seed(0)
    model = ConvAutoencoder(shape[0], shape[1:], width=4).eval()
    references = {
        name: torch.randn_like(weight)
        for name, weight in model.named_parameters()
        if name.startswith("decoder") and weight.dim() > 1
    }
    detector = Detector(model, references, 1, preprocessing={"channels": shape[0], "size": list(shape[1:]), **facts})
    if not plain:
        images = torch.from_numpy(random_bytes(shape, 60, seed=1))
        detector = calibrated(balanced(detector, images[:20], images[20:40]), images[40:], "balanced", 0.1)
    detector.save(path)
    return path


def encoded(pixels: Any, format: str = "PNG", **options: Any) -> bytes:
    """A file of an image (H, W) or (H, W, C)."""
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def npy(array: Any) -> bytes:
    stream = BytesIO()
    np.save(stream, array)
    return stream.getvalue()
