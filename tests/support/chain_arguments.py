"""What the ops on a whole autoencoder are given."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradcon_ext.chain.chain import Chain, EncodedChain
from gradcon_ext.chain.tracing import parameters_of, trace_chain
from gradcon_ext.losses import Loss
from gradcon_ext.models import ConvAutoencoder
from support.strategies import ChainCase


class Arguments(NamedTuple):
    """Those of the op."""

    images: Tensor
    parameters: list[Tensor]
    references: list[Tensor]
    chain: EncodedChain

    @property
    def of_op(self) -> tuple[Any, ...]:
        """As `torch.ops` takes what all of those ops are given."""
        return (*self[:3], *self.chain)

    def to(self, device: str) -> Arguments:
        parameters, references = ([tensor.to(device) for tensor in part] for part in (self.parameters, self.references))
        return self._replace(images=self.images.to(device), parameters=parameters, references=references)

    def double(self) -> Arguments:
        """All numbers as they are, in float64."""
        images = self.images if self.images.dtype == torch.uint8 else self.images.double()
        parameters, references = ([tensor.double() for tensor in part] for part in (self.parameters, self.references))
        return self._replace(images=images, parameters=parameters, references=references)


def arguments_of(chain: Chain, model: nn.Module, references: list[Tensor], images: Tensor) -> Arguments:
    return Arguments(images, parameters_of(chain, model), references, chain.encoded)


def random_arguments(case: ChainCase, dtype: torch.dtype, images: torch.dtype | None = None) -> Arguments:
    model = case.model(dtype)
    references = case.references(model)
    chain = trace_chain(model, list(references), case.loss, case.image_shape)
    return arguments_of(chain, model, list(references.values()), case.images(images or dtype))


def paper_arguments(
    model_type: type[nn.Module] = ConvAutoencoder,
    samples: int = 20,
    dtype: torch.dtype = torch.float32,
    size: tuple[int, int] = (28, 28),
    width: int = 4,
) -> Arguments:
    """The paper's autoencoder, by default of an eighth of its width, with references of all decoder layers."""
    torch.manual_seed(0)
    model = model_type(1, size, width=width).to(dtype)
    names = [f"decoder.{index}.weight" for index in (0, 2, 4, 6)]
    loss: Loss = model_type.loss
    chain = trace_chain(model, names, loss, (1, *size))
    references = [torch.randn_like(model.get_parameter(name)) for name in names]
    return arguments_of(chain, model, references, torch.rand(samples, 1, *size, dtype=dtype))


def assert_close(results: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float) -> None:
    for result, expected_result in zip(results, expected, strict=True):
        torch.testing.assert_close(result.cpu().double(), expected_result.double(), rtol=tolerance, atol=tolerance)
