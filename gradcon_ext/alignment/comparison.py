"""Passes over a batch, held against what plain autograd makes of some of its samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gradcon_ext.alignment.one_pass import Pass
from gradcon_ext.alignment.plain import SampleGradient
from gradcon_ext.alignment.proofs import Proof
from gradcon_ext.alignment.tolerance import Tolerance


@dataclass(frozen=True)
class Comparison:
    """What has to agree, and how closely.

    Attributes:
        plain: what autograd makes of samples by themselves, by their index in the batch.
        tolerance: how far apart the same numbers may be.
    """

    plain: Mapping[int, SampleGradient]
    tolerance: Tolerance

    def check_losses(self, result: Pass, samples: Mapping[int, int]) -> None:
        """Raise ValueError where a loss in a pass differs from that of the sample alone.

        Args:
            result: of the pass.
            samples: the samples' indices in the batch, by their rows in the pass.
        """
        alone = torch.stack([self.plain[sample].loss for sample in samples.values()])
        self.check_equal(result.losses[list(samples)], alone, "alone", len(result.losses))

    def check_equal(self, together: Tensor, apart: Tensor, how: str, samples: int) -> None:
        """Raise ValueError where losses of some of a batch's samples are not those of the same ones in other company.

        Args:
            together: losses (K,) in the batch.
            apart: losses (K,) of the same samples.
            how: these are, in words, such as "alone".
            samples: of the batch.
        """
        finite = together[together.isfinite()].double()
        scale = float(finite.abs().mean()) if len(finite) else 0.0
        allowed = self.tolerance.loss * apart.double().abs().clamp(min=scale) + self.tolerance.rounding / 10
        close = apart.isfinite() & ((together.double() - apart.double()).abs() <= allowed)
        # To infinity or to NaN, by the order of the sums.
        both_overflow = ~together.isfinite() & ~apart.isfinite() & (together != -apart)
        differs = ~close & ~both_overflow
        if differs.any():
            row = int(differs.nonzero()[0])
            raise ValueError(
                f"the loss of a sample is {float(apart[row]):.6g} {how} and {float(together[row]):.6g} in a batch of "
                f"{samples}: samples influence each other, as in batch_norm(training=True), or by chance, or the "
                "forward looks at requires_grad; samples must be independent in eval mode"
            )

    def agreed(self, result: Pass, samples: Mapping[int, int], proof: Proof) -> Proof:
        """Return the proof with the parameters whose own routes do not lead to the gradients of plain autograd."""
        obstacles = dict(proof.obstacles)
        for parameter in result.parameters:
            name, route = parameter.name, result.routes[parameter.name]
            if route.reached and route.gradients is None:
                if "first dimension" in route.reason:
                    obstacles[name] = route.reason.removeprefix("fallback: ")
                continue
            for row, sample in samples.items():
                plain = self.plain[sample].gradients[name]
                formed = torch.zeros_like(plain) if route.gradients is None else route.gradients.of_sample(row)
                apart = self._apart(formed, plain, _scale(result, name, row))
                if apart is not None:
                    obstacles[name] = f"its own route is {apart} from plain autograd"
        return replace(proof, obstacles=obstacles)

    def disagreement(self, gradients: Mapping[str, Tensor], samples: Sequence[int]) -> str | None:
        """Say which gradients (K, *weight) of K samples are not those of plain autograd, or return None."""
        for row, sample in enumerate(samples):
            plain = self.plain[sample].gradients
            largest = max(filter(math.isfinite, map(_norm, plain.values())), default=0.0)
            for name, formed in gradients.items():
                apart = self._apart(formed[row], plain[name], largest)
                if apart is not None:
                    return f"its gradient of {name} is {apart} from plain autograd"
        return None

    def could_have_failed(self, result: Pass) -> bool:
        """Whether the samples, two of a larger batch, are apart and finite, and every gradient is there to be wrong."""
        if not all(sample.is_finite() for sample in self.plain.values()):
            return False
        one, other = self._first_and_last()
        reached = [name for name, route in result.routes.items() if route.reached]
        if not all(one[name].any() or other[name].any() for name in reached):
            return False
        apart = 10 * self.tolerance.gradient
        differ = any(_norm(one[name] - other[name]) > apart * _norm(one[name]) for name in reached)
        return len(result.losses) == 1 or not reached or differ

    def _first_and_last(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        gradients = [sample.gradients for sample in self.plain.values()]
        return gradients[0], gradients[-1]

    def _apart(self, formed: Tensor, plain: Tensor, scale: float) -> str | None:
        """How far a gradient is from what it should be, where that is more than rounding, or one alone overflows."""
        norm, apart = _norm(plain), _norm(formed - plain)
        if math.isfinite(norm):
            agree = apart <= self.tolerance.gradient * norm + self.tolerance.rounding * scale
        else:
            agree = not formed.isfinite().all()
        if agree:
            return None
        return f"{apart:.2g} (of a norm of {norm:.2g})"


def _norm(tensor: Tensor) -> float:
    """In float64, which takes a copy, only where the squares of large numbers overflow."""
    norm = float(tensor.norm())
    return norm if math.isfinite(norm) else float(tensor.double().norm())


def _scale(result: Pass, name: str, row: int) -> float:
    """Norm of what is summed to a sample's gradient, to which the rounding of a small sum is relative."""
    (parameter,) = (one for one in result.parameters if one.name == name)
    total = 0.0
    for module in {module for module, _ in parameter.owners}:
        for call in result.capture.calls.get(module, []):
            if call.grad_output is not None:
                size = _norm(call.input[row]) + call.grad_output[row].numel() ** 0.5
                total += size * _norm(call.grad_output[row])
    return total
