from __future__ import annotations

import numpy as np
import pytest

from gradcon_ext.report.content import ImageRow, Picture, Report
from gradcon_ext.scoring.overlay import Scale, as_png

HOSTILE = [
    "<script>document.title='taken'</script>.png",
    "\" onmouseover='document.title=1' x=\".png",
    "' & &amp; {{ 7 * 7 }} {% raw %}.png",
    "</style></title><img src=http://example.invalid/x.png>.png",
    "two\nlines\tand a tab.png",
    "שלום/مرحبا.png",
    "turned\u202egnp.exe",
    "family 👨\u200d👩\u200d👧.png",
    "not \udcff\udc80 UTF-8 \ud800.png",
    "a" * 250 + ".png",
]


def picture(number: int, caption: str, name: str) -> Picture:
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Picture(as_png(pixels), caption, f"{caption} of {name}")


@pytest.fixture(scope="session")
def report() -> Report:
    """Thirty images with verdicts, of which the first ten have pictures, and two files that are unreadable."""
    names = [*HOSTILE, *(f"part {number}/{number:02}.png" for number in range(20))]
    random = np.random.default_rng(0)
    rows = [
        ImageRow(
            name,
            anomaly=(anomaly := float(random.normal())),
            p_value=None if number == 3 else float(random.random()),
            verdict="outlier" if anomaly > 0.5 else "inlier",
            parts={"reconstruction": float(random.random()), "gradient": -float(random.random())},
        )
        for number, name in enumerate(names)
    ]
    rows += [
        ImageRow("<b>cut</b>.png", error="cannot be read as an image (<i>truncated</i>)"),
        ImageRow("bomb.png", error="too many pixels"),
    ]
    report = Report("Anomalies in <photos>", {"detector": "runs/<photos>"}, rows, threshold=0.5)
    drawn = report.worst_first[:10]
    pictures = {
        number: [picture(number, caption, rows[number].path) for caption in ("image", "residual", "alignment")]
        for number in drawn
    }
    scales = {"residual": Scale(0, 0.25), "alignment": Scale(-0.1, 0.1)}
    return Report(report.title, report.facts, rows, pictures, scales, threshold=0.5)
