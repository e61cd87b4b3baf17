"""How long do the tiles of one image of four megapixels take?"""

from __future__ import annotations

from statistics import median
from time import perf_counter

import pytest
import torch

from gradcon_ext import Detector, Scorer
from gradcon_ext.detector.parts import PAPERS
from gradcon_ext.models import ConvAutoencoder
from gradcon_ext.scoring.tile_balancing import balanced_tiles
from gradcon_ext.scoring.tile_scoring import TileScorer
from gradcon_ext.tiles import Tiling

SIDE, ROUNDS, BAR = 2000, 5, 1.0


def detector() -> Detector:
    torch.manual_seed(0)
    model = ConvAutoencoder(1, 32).eval()
    names = [name for name, _ in model.named_parameters() if name.startswith("decoder") and name.endswith("weight")]
    return Detector(model, {name: torch.randn_like(model.get_parameter(name)) for name in names}, 1)


@pytest.mark.parametrize(
    "tiling",
    [Tiling(32, 16, 0.5), Tiling(32, 32), Tiling(32, 16)],
    ids=["half size, overlapping", "full size", "full size, overlapping"],
)
@pytest.mark.parametrize("balance", [False, True], ids=["paper's score", "balanced"])
def test_an_image_of_four_megapixels(tiling: Tiling, balance: bool, capsys) -> None:
    image = torch.randint(0, 256, (1, SIDE, SIDE), dtype=torch.uint8)
    scorer = TileScorer(Scorer.from_detector(detector()), tiling)
    if balance:
        few = [image[:, :400, :400], image[:, 400:, :300]]
        scorer = TileScorer.from_detector(balanced_tiles(detector(), tiling, few, few))
    seconds = []
    for _ in range(ROUNDS + 1):
        begun = perf_counter()
        scores = scorer.score(image)
        scores.pooled(scorer.pooling)
        scores.score_map("balanced" if balance else PAPERS)
        seconds.append(perf_counter() - begun)
    taken, tiles = median(seconds[1:]), scores.tiles
    with capsys.disabled():
        print(f"\n{len(tiles)} {tiling}: {taken:.3f} s, {taken / len(tiles) * 1e6:.0f} us a tile")
    if tiling.scale < 1 or tiling.stride == tiling.size:
        assert taken < BAR
