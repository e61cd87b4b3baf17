"""Where an image is reconstructed badly, as a picture."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from gradcon_ext.chain.reconstruction import residual_map
from gradcon_ext.data.arrays import Array
from gradcon_ext.detector.stored_chain import StoredChain


def heat_map(detector: StoredChain, pixels: Array) -> dict[str, Any]:
    """Return the residual map of an image (C, H, W), as JSON holds it.

    "png" is a picture of grey in base64, in the size that the detector takes: 255 stands for "highest", the greatest
    squared error of a pixel, and 0 for none. A map that is not finite has no picture.
    """
    residual = residual_map(detector.chain, detector.parameters, pixels)
    highest = float(residual.max())
    if not np.isfinite(highest):
        return {"png": None, "highest": None}
    grey = (residual * (255 / highest if highest else 0)).round().astype(np.uint8)
    stream = BytesIO()
    Image.fromarray(grey).save(stream, "PNG")
    return {"png": base64.b64encode(stream.getvalue()).decode("ascii"), "highest": highest}
