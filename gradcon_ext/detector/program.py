"""The scores of a chain of layers as a module of torch, which can be exported: images in, all parts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gradcon_ext.chain.chain import Chain
from gradcon_ext.detector.balance import Balance, Subspace
from gradcon_ext.detector.calibration import Calibration
from gradcon_ext.detector.parts import PAPERS, PARTS, column_of
from gradcon_ext.ops import score_autoencoder

_COLUMNS = {column_of(part) for part in PARTS}


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
        parts, code = self.papers_parts(images)
        if self._balance is not None:
            arrays = self._kept(self._balance_names)
            direction, own = Subspace(*arrays[:2]), Subspace(*arrays[2:])
            balance = replace(self._balance, direction=direction, code=own)
            parts["direction"], parts["code"] = balance.code_parts(code.double())
            total = parts["reconstruction"] + parts["latent"]
            parts["balanced"] = balance.combined(parts["direction"], parts["code"], parts["gradient"], total)
        parts = {name: part.float() for name, part in parts.items()}
        if self._calibration is not None:
            (calibrated,) = self._kept(self._calibration_names)
            parts |= judged_parts(self._calibration, calibrated, parts[column_of(self._part)])
        return parts

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return self._kept(self._parameter_names)[0].dtype

    def papers_parts(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the parts that need no balance, and the codes (N, D); of the dtype of the parameters."""
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
        return parts, code

    def _keep(self, kind: str, tensors: Sequence[Tensor]) -> list[str]:
        names = [f"{kind}_{index}" for index in range(len(tensors))]
        for name, tensor in zip(names, tensors, strict=True):
            self.register_buffer(name, tensor)
        return names

    def _kept(self, names: Sequence[str]) -> list[Tensor]:
        return [self.get_buffer(name) for name in names]


def judged_parts(calibration: Calibration, calibrated: Tensor, scores: Tensor) -> dict[str, Tensor]:
    """Return "p_value" and "is_outlier", (N,) each, of scores (N,) beside those of calibration images (n,)."""
    count = 1 + (calibrated >= scores[:, None]).sum(1)
    most = calibration.most_as_high(calibration.rate)
    return {"p_value": count / (len(calibrated) + 1), "is_outlier": count <= most}


def columns_of(parts: Mapping[str, Any], layers: Sequence[str]) -> dict[str, Any]:
    """Return the parts of scores with a column (N,) for the cosine of each layer, by the names in `Golden.columns`.

    Scores of single tiles are left out; so are verdicts: one that ties with a score of calibration may fall on either
    side of it by its last bit.
    """
    columns = {name: part for name, part in parts.items() if name in _COLUMNS}
    return columns | {f"cosine.{name}": parts["cosine"][:, index] for index, name in enumerate(layers)}
