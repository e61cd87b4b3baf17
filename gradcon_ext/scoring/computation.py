"""What a score is made of, computed by the fused program of a chain or by the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradcon_ext.alignment import align_with_aux, parameter_of
from gradcon_ext.alignment.code import code_of
from gradcon_ext.alignment.references import check_holds
from gradcon_ext.chain.chain import Chain
from gradcon_ext.data.pixels import like_weight
from gradcon_ext.detector.balance import Balance
from gradcon_ext.detector.verification import SampleResults, check_samples
from gradcon_ext.losses import Loss, SampleLosses
from gradcon_ext.ops import score_autoencoder
from gradcon_ext.scoring.scores import Scores


class Computed(NamedTuple):
    """Of N samples: losses, cosines (N, L), and the codes (N, D), or (N, 0) if these were not wanted."""

    losses: SampleLosses
    cosine: Tensor
    code: Tensor

    def scores(self, alpha: float, balance: Balance | None) -> Scores:
        """Return their scores, without a verdict; the codes are looked at where there is a balance."""
        losses, cosine, code = self
        total, alignment = losses.total, cosine.mean(1)
        columns = [losses.reconstruction, losses.latent, cosine, total - alpha * alignment]
        if balance is not None:
            parts = balance.on(code.device).code_parts(code.double())
            columns += [*parts, balance.combined(*parts, -alignment, total)]
        return Scores(*(column.detach().to("cpu", torch.float32) for column in columns))


@dataclass(frozen=True)
class Computation:
    """What is computed of samples.

    Attributes:
        model: whose losses and gradients these are.
        loss: of the samples.
        references: by the names of the constrained weights.
    """

    model: nn.Module
    loss: Loss
    references: Mapping[str, Tensor]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the constrained weights, in the order of the cosines."""
        return tuple(self.references)

    def by_chain(self, chain: Chain, parameters: list[Tensor], images: Tensor, with_code: bool) -> Computed:
        """Compute it of images by the fused program of the chain that the model is, with its present parameters."""
        pixels = images.to(parameters[0].device) if images.dtype == torch.uint8 else images.to(parameters[0])
        references = [reference.to(parameters[0]) for reference in self.references.values()]
        reconstruction, latent, cosine, *code = score_autoencoder(
            pixels, parameters, references, chain.encoded, with_code
        )
        return Computed(SampleLosses(reconstruction, latent), cosine, code[0] if with_code else cosine[:, :0])

    def by_model(self, images: Tensor, with_code: bool) -> Computed:
        """Compute it by running the model, in eval mode, and differentiating it."""
        pixels, sample_loss = self._pixels(images), self.loss

        # It reads nothing but the loss, so that what was proven of it in one call is known in the next.
        def loss(output: Any, images: Tensor) -> tuple[Tensor, SampleLosses]:
            losses = sample_loss(output, images)
            return losses.total, losses

        alignment = align_with_aux(self.model, loss, pixels, self.references, in_eval_mode=True)
        losses = SampleLosses(*(torch.cat(parts) for parts in zip(*alignment.aux, strict=True)))
        cosine = torch.stack([alignment.cosine[name] for name in self.references], 1)
        return Computed(losses, cosine, code_of(self.model, self.layers, pixels) if with_code else cosine[:, :0])

    def disagreement(self, computed: Computed, images: Tensor) -> str | None:
        """Return what disagrees between what was computed of images and automatic differentiation of each, or None.

        Raises:
            NotComparedError: see `check_samples`.
        """
        pixels = self._pixels(images)
        references = {name: reference.to(pixels) for name, reference in self.references.items()}
        losses = computed.losses
        results = SampleResults(losses.reconstruction, losses.latent, computed.cosine)
        return check_samples(self.model, self.loss, references, pixels, results)

    def _pixels(self, images: Tensor) -> Tensor:
        """Images in the dtype and on the device of the weights, from 0 to 1."""
        return like_weight(images, next(self.model.parameters()))


def check_references(model: nn.Module, references: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless there are references, each of a weight of the model, of its shape and finite."""
    if not references:
        raise ValueError("expected the references of one or more weights, got none")
    for name, reference in references.items():
        weight = parameter_of(model, name)
        if reference.shape != weight.shape:
            raise ValueError(
                f"the reference of {name} has shape {tuple(reference.shape)}; its weight has {tuple(weight.shape)}"
            )
        if not reference.isfinite().all():
            raise ValueError(f"the reference of {name} holds values that are NaN or infinite")
        check_holds(name, reference, reference.to(weight.dtype))
