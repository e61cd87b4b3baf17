"""The scores of a chain of layers as a module of torch, which can be exported: images in, all parts out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.chain.chain import Chain
from gradcon_ext.detector.balance import Balance, Subspace
from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.golden import Golden
from gradcon_ext.detector.parts import PAPERS, column_of
from gradcon_ext.ops import score_autoencoder

_MOST_IMAGES, _MOST_NUMBERS = 4, 1 << 20
"""Of golden scores, which are to add little to a file; of large images there are fewer."""
_SEED = 0


class ScoreProgram(nn.Module):
    """Scores images by the op `score_autoencoder`, with nothing decided at run time.

    Args:
        chain: the autoencoder.
        parameters: of its layers, all float32 or all float64.
        references: in the order of `chain.references`, likewise.
        alpha: weight of the alignment in the anomaly score.
        balance: what the balanced score is made with; without it there is none.
        part: of the score, decides what is an outlier; one of `gradcon_ext.detector.parts.PARTS`.
        calibration: what p-values and verdicts are made with; without it there are none.
    """

    def __init__(
        self,
        chain: Chain,
        parameters: Sequence[Tensor],
        references: Sequence[Tensor],
        alpha: float,
        balance: Balance | None = None,
        part: str = PAPERS,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        self._chain = chain
        self._alpha = alpha
        self._balance = balance
        self._part = part
        self._calibration = calibration
        self._parameter_names = self._keep("parameter", parameters)
        self._reference_names = self._keep("reference", references)
        spaces = () if balance is None else (balance.direction, balance.code)
        self._balance_names = self._keep(
            "balance", [each for space in spaces for each in (space.mean, space.directions)]
        )
        calibrated = [] if calibration is None else [torch.tensor(calibration.scores[part])]
        self._calibration_names = self._keep("calibration", calibrated)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the parts of the scores by their names, (N,) each, and (N, L) for the cosine; float32.

        With a calibration also "p_value", and "is_outlier" of truth values.

        Args:
            images: (N, C, H, W), uint8 (0 to 255) or of the dtype of the parameters (0 to 1).
        """
        reconstruction, latent, cosine, code = score_autoencoder(
            images, self._kept(self._parameter_names), self._kept(self._reference_names), self._chain.encoded, True
        )
        gradient, total = -cosine.mean(1), reconstruction + latent
        parts = {
            "reconstruction": reconstruction,
            "latent": latent,
            "cosine": cosine,
            "gradient": gradient,
            "anomaly": total + self._alpha * gradient,
        }
        if self._balance is not None:
            arrays = self._kept(self._balance_names)
            direction, own = Subspace(*arrays[:2]), Subspace(*arrays[2:])
            balance = replace(self._balance, direction=direction, code=own)
            parts["direction"], parts["code"] = balance.code_parts(code.double())
            parts["balanced"] = balance.combined(parts["direction"], parts["code"], gradient, total)
        parts = {name: part.float() for name, part in parts.items()}
        if self._calibration is not None:
            (calibrated,) = self._kept(self._calibration_names)
            count = 1 + (calibrated >= parts[column_of(self._part)][:, None]).sum(1)
            most = self._calibration.most_as_high(self._calibration.rate)
            parts |= {"p_value": count / (len(calibrated) + 1), "is_outlier": count <= most}
        return parts

    def _keep(self, kind: str, tensors: Sequence[Tensor]) -> list[str]:
        names = [f"{kind}_{index}" for index in range(len(tensors))]
        for name, tensor in zip(names, tensors, strict=True):
            self.register_buffer(name, tensor)
        return names

    def _kept(self, names: Sequence[str]) -> list[Tensor]:
        return [self.get_buffer(name) for name in names]


def golden_scores(program: ScoreProgram, chain: Chain) -> Golden:
    """Score a few images of noise, the same each time."""
    generator = torch.Generator().manual_seed(_SEED)
    count = max(1, min(_MOST_IMAGES, _MOST_NUMBERS // math.prod(chain.image_shape)))
    images = torch.randint(0, 256, (count, *chain.image_shape), generator=generator, dtype=torch.uint8, device="cpu")
    with torch.no_grad():
        columns = columns_of(program(images), chain.references)
    return Golden(list(columns), images, torch.stack(list(columns.values()), 1))


def columns_of(parts: Mapping[str, Any], layers: Sequence[str]) -> dict[str, Any]:
    """Return the parts of scores with a column (N,) for the cosine of each layer, by the names in `Golden.columns`."""
    columns = {name: part for name, part in parts.items() if name != "cosine"}
    return columns | {f"cosine.{name}": parts["cosine"][:, index] for index, name in enumerate(layers)}
