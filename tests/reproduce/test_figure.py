from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Drawing
from PIL import Image

from gradcon_ext.reproduce.figure import LINE_STYLES, Figure
from gradcon_ext.scoring.histogram import draw_two


def test_a_figure_is_saved_with_its_numbers_and_its_caption(tmp_path):
    drawing = Drawing()
    drawing.subplots().plot([0, 1])
    rows = [["a, b", 1, 1 / 3], ["c", "", np.float32(2 / 3)]]
    paths = Figure(drawing, ["name", "epoch", "cosine"], rows, "What is to be seen.").save(tmp_path, "fig9")
    assert paths == [tmp_path / f"fig9.{suffix}" for suffix in ("png", "csv", "md")]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    with Image.open(paths[0]) as image:
        assert min(image.size) > 300
    assert paths[1].read_text() == 'name,epoch,cosine\n"a, b",1,0.333333\nc,,0.666667\n'
    assert paths[2].read_text() == "![fig9](fig9.png)\n\nWhat is to be seen.\n"


def test_lines_are_told_apart_without_colour():
    assert len({dashes for _, dashes, _ in LINE_STYLES}) == len({marker for _, _, marker in LINE_STYLES}) == 4


def test_the_samples_that_two_histograms_share_are_counted():
    def overlap(ours, theirs):
        return draw_two(Drawing().subplots(), {"ours": np.array(ours), "theirs": np.array(theirs)})

    assert overlap([0.0, 0.1, 0.2], [0.8, 0.9, 1.0]) == 0
    assert overlap([0.0, 0.1, 1.0], [1.0, 0.0, 0.1]) == 3
    assert overlap([0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]) == 2
